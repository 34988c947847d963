"""`reconstruct`: real pictures to their latents, and back."""

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from diffusion import SampleInfo
from sampling.interpolation import pick, reconstruct
from sampling.trained import Trained, check_deterministic, real_pictures
from utils.pictures import grid, save_png

PICTURES = 10  # unless --sample_num says otherwise


def run(args: argparse.Namespace, trained: Trained, info: SampleInfo) -> list[Path]:
    """`sample_num` real pictures, and below each what its latent is decoded to; prints how well that went."""
    count = args.sample_num or PICTURES
    check_deterministic(info, "--test_mode reconstruct")
    path = Path(f"{trained.output_prefix(args.save_dir, info)}_reconstruct.png")
    print(f"Draws:   {count:,} real pictures, encoded in {info.steps} steps and drawn again")
    print(f"Output:  {path}", flush=True)
    images = real_pictures(args, trained.settings)
    pictures = torch.from_numpy(images[pick(len(images), range(args.seed, args.seed + count), 1)[0].numpy()])
    with tqdm(total=2 * count * info.steps, unit="step", unit_scale=True) as bar:
        again, latents = reconstruct(
            trained.network, trained.diffusion, info, pictures,
            batch_size=args.batch_size or trained.settings.sample.batch_size, device=trained.device, advance=bar.update,
        )  # fmt: skip
    mse = ((pictures.double() - again.double()) / 255).square().flatten(1).mean(dim=1)  # (count,)
    psnr = -10 * mse.clamp(min=1e-10).log10()
    print(
        f"Error:   MSE {mse.mean():.6f} (of 0 to 1), PSNR {psnr.mean():.2f} dB, the worst picture {psnr.min():.2f} dB"
    )
    print(f"Latents: mean {latents.mean():.3f}, spread {latents.std():.3f} (noise: 0 and 1)")
    return [save_png(path, grid(torch.cat([pictures, again]), count))]
