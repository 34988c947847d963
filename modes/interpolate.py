"""`interpolate`: what lies between two real pictures."""

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from diffusion import SampleInfo
from sampling.interpolation import changes, interpolate, pick
from sampling.trained import Trained, check_deterministic, real_pictures
from utils.errors import RequestError
from utils.pictures import grid, save_png

PAIRS = 10  # unless --sample_num says otherwise
COEFFICIENTS = 11  # from 0 to 1, unless --interpolate_num says otherwise


def run(args: argparse.Namespace, trained: Trained, info: SampleInfo) -> list[Path]:
    """A column for each of `sample_num` pairs of real pictures: the first, what lies between, the second."""
    count, mode = args.sample_num or PAIRS, args.interpolate_mode or "slerp"
    timestep_num = trained.diffusion.timestep_num
    if (args.interpolate_steps or 1) > timestep_num:
        raise RequestError(
            f"--interpolate_steps {args.interpolate_steps}: the model knows {timestep_num} steps of noise"
        )
    coefficients = torch.linspace(0, 1, args.interpolate_num or COEFFICIENTS).tolist()
    steps = args.interpolate_steps or (timestep_num if mode == "ddim" else max(1, timestep_num // 2))
    if mode == "ddim":
        check_deterministic(info, "--interpolate_mode ddim")
    path = Path(f"{trained.output_prefix(args.save_dir, info)}_interpolate.png")
    print(
        f"Draws:   {count:,} pairs of real pictures, {len(coefficients)} coefficients, {mode} at {steps} steps of noise"
    )
    print(f"Output:  {path}", flush=True)
    images = real_pictures(args, trained.settings)
    if len(images) < 2:
        raise RequestError(f"interpolation needs two pictures, and there is {len(images)}")

    seeds = range(args.seed, args.seed + count)
    first, second = torch.from_numpy(images[pick(len(images), seeds, 2).numpy()])  # each (count, C, H, W)
    with tqdm(unit="step", unit_scale=True) as bar:
        between = interpolate(
            trained.network, trained.diffusion, info, first, second, mode=mode, seeds=seeds, coefficients=coefficients,
            noise_steps=steps, batch_size=args.batch_size or trained.settings.sample.batch_size, device=trained.device,
            advance=bar.update,
        )  # fmt: skip
    print("Change from each picture to the next (root mean square, of 0 to 1):")
    for seed, change in zip(seeds, changes(between).T):
        at = change.argmax().item()
        where = f"{coefficients[at]:.2f} -> {coefficients[at + 1]:.2f}"
        print(f"  pair {seed}: mean {change.mean():.3f}, largest {change.max():.3f} at {where}")
    total = changes(between)
    print(f"  all: mean {total.mean():.3f}, largest {total.amax(dim=0).mean():.3f} (averaged over pairs)")
    return [save_png(path, grid(torch.cat([first[None], between, second[None]]).flatten(0, 1), count))]
