"""Draws from a trained model: python test_solver.py --model_path checkpoints/mnist_mini.safetensors

The network, the diffusion and the data are those that the checkpoint names. `random_gen` draws new pictures,
`interpolate` goes from one real picture to another.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model_path", required=True, metavar="FILE", help="a model.safetensors or a trainer_state.pt")
    parser.add_argument("--test_mode", choices=["random_gen", "interpolate", "reconstruct"], default="random_gen")
    parser.add_argument(
        "--sample_info",
        metavar="METHOD_STEPS_ETA",
        help="the sampler, as in DDPM_1000_0p0 or DDIM_50_0p0 (the checkpoint's sample.sample_info)",
    )
    parser.add_argument(
        "--sample_num",
        type=int,
        metavar="N",
        help="pictures to draw, or pairs to interpolate (the checkpoint's sample.sample_num; 10 pairs)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="picture i is that of seed N + i (0)")
    parser.add_argument("--batch_size", type=int, metavar="N", help="pictures drawn at a time")
    parser.add_argument("--save_dir", default="results", metavar="DIR", help="where the pictures go (results)")
    parser.add_argument(
        "--save_images", action="store_true", help="random_gen: also write each picture, named by its seed"
    )
    parser.add_argument("--weights", choices=["ema", "raw"], default="ema", help="averaged weights, or the last step's")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument(
        "--precision", choices=["auto", "fp32", "bf16"], default="auto", help="of the network's arithmetic"
    )
    checked = parser.add_argument_group("checked against the checkpoint; needed only for one that carries no settings")
    for name in ("image_size", "image_channel", "training_timestep_num"):
        checked.add_argument(f"--{name}", type=int, metavar="N")
    pictures = parser.add_argument_group("interpolate and reconstruct: where the real pictures come from")
    pictures.add_argument("--data_name", metavar="NAME", help="take the real pictures from another entry of --config")
    pictures.add_argument("--data_path", metavar="PATH", help="take them from this folder (or find the data set there)")
    pictures.add_argument("--config", metavar="FILE", help="where --data_name is looked up (config.yaml)")
    between = parser.add_argument_group("interpolate")
    between.add_argument(
        "--interpolate_mode",
        choices=["lerp", "slerp", "ddim"],
        help="what is mixed: noised pictures, with lerp's straight or slerp's noise; or latents (slerp)",
    )
    between.add_argument(
        "--interpolate_steps",
        type=int,
        metavar="N",
        help="steps of noise (half of the training's: 500 of 1000; ddim: all)",
    )
    between.add_argument("--interpolate_num", type=int, metavar="N", help="coefficients from 0 to 1 (11)")
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before torch is loaded, so that --help answers at once

import numpy as np
import torch
from tqdm import tqdm

from datasets import load_images
from diffusion import GaussianDiffusion, SampleInfo, build_diffusion, timestep_pairs
from models import build_model
from utils.checkpoints import load_checkpoint, load_weights
from utils.config import load_settings
from utils.device import at_precision, pick_device, pick_precision
from utils.drawing import Frames, batches_of, draw
from utils.errors import RequestError
from utils.interpolation import changes, interpolate, pick, reconstruct
from utils.pictures import grid, near_square, save_gif, save_png
from utils.script import run_script
from utils.settings import DataSettings, Settings

GRID_MAX = 1024  # pictures in the final grid
PROGRESS_MAX = 64  # pictures whose denoising is shown
PROGRESS_COLUMNS = 16
PAIRS = 10  # pairs to interpolate or pictures to reconstruct, unless --sample_num says otherwise
COEFFICIENTS = 11  # from 0 to 1, unless --interpolate_num says otherwise

# The options that only some modes know: given with another, they would be ignored.
MODE_OPTIONS = {
    ("random_gen",): ["save_images"],
    ("interpolate", "reconstruct"): ["data_name", "data_path", "config"],
    ("interpolate",): ["interpolate_mode", "interpolate_steps", "interpolate_num"],
}


def main(args: argparse.Namespace) -> int:
    device = pick_device(args.device)
    checkpoint = load_checkpoint(
        args.model_path,
        args.weights,
        image_size=args.image_size,
        image_channel=args.image_channel,
        timestep_num=args.training_timestep_num,
    )
    settings = checkpoint.settings
    check_request(args, settings)
    info = parse_sampler(args.sample_info or settings.sample.sample_info, settings.diffusion.timestep_num)
    model = build_model(**settings.model_arguments())
    load_weights(model, checkpoint.weights, args.model_path)
    precision = pick_precision(args.precision, device)
    network = at_precision(model.to(device).eval(), precision, device)
    diffusion = build_diffusion(**settings.diffusion.model_dump()).to(device)

    trained = f"{settings.data_name}, step {checkpoint.step:,}, {checkpoint.which} weights"
    print(f"Model:   {Path(args.model_path).absolute()}: {trained}")
    print(f"Sampler: {info}, on {device} in {precision}")
    task = TASKS[args.test_mode]
    for path in task(args, settings, network, diffusion, info, device):
        print(f"Wrote:   {path}")
    return 0


def random_gen(args, settings: Settings, network, diffusion: GaussianDiffusion, info: SampleInfo, device) -> list[Path]:
    """Draws `sample_num` pictures, batch by batch: the final grid, the progress picture and GIF, the single pictures."""
    count = args.sample_num or settings.sample.sample_num
    batch_size = args.batch_size or settings.sample.batch_size
    shape = (settings.data.image_channel, settings.data.image_size, settings.data.image_size)
    prefix = output_prefix(args, info)
    folder = prefix.with_name(f"{prefix.name}_images")
    print(f"Draws:   {count:,} pictures, seeds {args.seed} to {args.seed + count - 1}, {batch_size} at a time")
    print(
        f"Output:  {prefix}_final.png, _progress.png, _progress.gif" + (f", {folder}/" if args.save_images else ""),
        flush=True,
    )
    if count > GRID_MAX:
        print(
            f"Note:    the grid shows the first {GRID_MAX:,}"
            + ("" if args.save_images else "; --save_images writes every one")
        )

    shown = []  # the pictures of the grid: all that is kept, whatever `count` is
    frames = Frames(info.steps, min(count, PROGRESS_MAX), PROGRESS_COLUMNS)
    with tqdm(total=count * info.steps, unit="call", unit_scale=True) as bar:

        def callback(index, t, t_prev, x_t, prediction):
            frames(index, t, t_prev, x_t, prediction)
            bar.update(len(x_t))

        for seeds in batches_of(range(args.seed, args.seed + count), batch_size):
            pictures = draw(network, diffusion, info, seeds, shape, device, callback)
            frames.finish(pictures)
            shown.append(pictures[: max(0, GRID_MAX - (seeds[0] - args.seed))])
            if args.save_images:
                for seed, picture in zip(seeds, pictures):
                    save_png(folder / f"{seed:06d}.png", picture)

    final = torch.cat(shown)
    moments = frames.pictures()
    rows = torch.stack(moments, dim=1).flatten(0, 1)  # one row a picture, one column a moment
    columns = near_square(len(moments[0]))
    paths = [
        save_png(Path(f"{prefix}_final.png"), grid(final, near_square(len(final)))),
        save_png(Path(f"{prefix}_progress.png"), grid(rows, len(moments))),
        save_gif(Path(f"{prefix}_progress.gif"), [grid(moment, columns) for moment in moments]),
    ]
    return paths + ([folder] if args.save_images else [])


def interpolate_pairs(
    args, settings: Settings, network, diffusion: GaussianDiffusion, info: SampleInfo, device
) -> list[Path]:
    """A column for each of `sample_num` pairs of real pictures: the first, what lies between, the second."""
    count, mode = args.sample_num or PAIRS, args.interpolate_mode or "slerp"
    coefficients = torch.linspace(0, 1, args.interpolate_num or COEFFICIENTS).tolist()
    steps = args.interpolate_steps or (
        diffusion.timestep_num if mode == "ddim" else max(1, diffusion.timestep_num // 2)
    )
    if mode == "ddim":
        check_deterministic(info, "--interpolate_mode ddim")
    path = Path(f"{output_prefix(args, info)}_interpolate.png")
    print(
        f"Draws:   {count:,} pairs of real pictures, {len(coefficients)} coefficients, {mode} at {steps} steps of noise"
    )
    print(f"Output:  {path}", flush=True)
    images = real_pictures(args, settings)
    if len(images) < 2:
        raise RequestError(f"interpolation needs two pictures, and there is {len(images)}")

    seeds = range(args.seed, args.seed + count)
    first, second = torch.from_numpy(images[pick(len(images), seeds, 2).numpy()])  # each (count, C, H, W)
    with tqdm(unit="step", unit_scale=True) as bar:
        between = interpolate(
            network, diffusion, info, first, second, mode=mode, seeds=seeds, coefficients=coefficients, noise_steps=steps,
            batch_size=args.batch_size or settings.sample.batch_size, device=device, advance=bar.update,
        )  # fmt: skip
    print("Change from each picture to the next (root mean square, of 0 to 1):")
    for seed, change in zip(seeds, changes(between).T):
        at = change.argmax().item()
        where = f"{coefficients[at]:.2f} -> {coefficients[at + 1]:.2f}"
        print(f"  pair {seed}: mean {change.mean():.3f}, largest {change.max():.3f} at {where}")
    total = changes(between)
    print(f"  all: mean {total.mean():.3f}, largest {total.amax(dim=0).mean():.3f} (averaged over pairs)")
    return [save_png(path, grid(torch.cat([first[None], between, second[None]]).flatten(0, 1), count))]


def reconstruct_pictures(
    args, settings: Settings, network, diffusion: GaussianDiffusion, info: SampleInfo, device
) -> list[Path]:
    """`sample_num` real pictures, and below each what its latent is decoded to; prints how well that went."""
    count = args.sample_num or PAIRS
    check_deterministic(info, "--test_mode reconstruct")
    path = Path(f"{output_prefix(args, info)}_reconstruct.png")
    print(f"Draws:   {count:,} real pictures, encoded in {info.steps} steps and drawn again")
    print(f"Output:  {path}", flush=True)
    images = real_pictures(args, settings)
    pictures = torch.from_numpy(images[pick(len(images), range(args.seed, args.seed + count), 1)[0].numpy()])
    with tqdm(total=2 * count * info.steps, unit="step", unit_scale=True) as bar:
        again, latents = reconstruct(
            network, diffusion, info, pictures,
            batch_size=args.batch_size or settings.sample.batch_size, device=device, advance=bar.update,
        )  # fmt: skip
    mse = ((pictures.double() - again.double()) / 255).square().flatten(1).mean(dim=1)  # (count,)
    psnr = -10 * mse.clamp(min=1e-10).log10()
    print(
        f"Error:   MSE {mse.mean():.6f} (of 0 to 1), PSNR {psnr.mean():.2f} dB, the worst picture {psnr.min():.2f} dB"
    )
    print(f"Latents: mean {latents.mean():.3f}, spread {latents.std():.3f} (noise: 0 and 1)")
    return [save_png(path, grid(torch.cat([pictures, again]), count))]


def real_pictures(args: argparse.Namespace, settings: Settings) -> np.ndarray:
    """The training pictures of the data that the request names, at the network's size: uint8 (N, C, H, W)."""
    return load_images(**real_data(args, settings).model_dump(exclude={"horizontal_flip"}))


def check_deterministic(info: SampleInfo, what: str) -> None:
    """RequestError if the sampler adds noise: a latent would not lead back to its picture."""
    if info.method == "DDPM" or info.eta > 0:
        raise RequestError(f"{what} needs a sampler that adds no noise, such as DDIM_{info.steps}_0p0, not {info}")


def real_data(args: argparse.Namespace, settings: Settings) -> DataSettings:
    """Where the real pictures come from: the checkpoint's own data, or what --data_name and --data_path say."""
    data = settings.data
    if args.data_name is not None and args.data_name != settings.data_name:
        data = load_settings(
            args.config or "config.yaml", args.data_name, flags={"data.data_path": args.data_path}
        ).data
    elif args.data_path is not None:
        data = data.model_copy(update={"data_path": args.data_path})
    # The network knows one size and number of channels, whatever the other data set is trained at.
    return data.model_copy(
        update={"image_size": settings.data.image_size, "image_channel": settings.data.image_channel}
    )


def parse_sampler(text: str, timestep_num: int) -> SampleInfo:
    """The sampler that `text` names. RequestError if it cannot be read, or has more steps than the training."""
    try:
        info = SampleInfo.parse(text)
        timestep_pairs(timestep_num, info.steps)
    except ValueError as error:
        raise RequestError(f"--sample_info: {error}") from None
    return info


def check_request(args: argparse.Namespace, settings: Settings) -> None:
    """RequestError for an option of another mode, a number that makes no sense, or one that is not the checkpoint's."""
    for mode, options in MODE_OPTIONS.items():
        for name in options:
            if getattr(args, name) and args.test_mode not in mode:
                raise RequestError(f"--{name} belongs to --test_mode {' or '.join(mode)}, not {args.test_mode}")
    carried = {
        "image_size": settings.data.image_size,
        "image_channel": settings.data.image_channel,
        "training_timestep_num": settings.diffusion.timestep_num,
    }
    for name, value in carried.items():
        if getattr(args, name) not in (None, value):
            raise RequestError(
                f"--{name} {getattr(args, name)}: {args.model_path} was trained with {value}; leave the option out"
            )
    least = {"sample_num": 1, "batch_size": 1, "seed": 0, "interpolate_steps": 1, "interpolate_num": 2}
    for name, bound in least.items():
        if getattr(args, name) is not None and getattr(args, name) < bound:
            raise RequestError(f"--{name} {getattr(args, name)}: it must be at least {bound}")
    if (args.interpolate_steps or 1) > settings.diffusion.timestep_num:
        raise RequestError(
            f"--interpolate_steps {args.interpolate_steps}: the model knows {settings.diffusion.timestep_num} steps of noise"
        )


def output_prefix(args: argparse.Namespace, info: SampleInfo) -> Path:
    """save_dir/MODEL_DDIM_50_0p0. A run's model.safetensors is called by its folder, as every run has one of that name."""
    path = Path(args.model_path).absolute()
    name = path.parent.name if path.stem in ("model", "trainer_state") else path.stem
    return Path(args.save_dir).absolute() / f"{name}_{info}"


TASKS = {"random_gen": random_gen, "interpolate": interpolate_pairs, "reconstruct": reconstruct_pictures}

if __name__ == "__main__":
    run_script(lambda: main(ARGS))
