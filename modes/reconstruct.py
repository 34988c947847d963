"""`reconstruct`: real pictures to their latents, and back."""

from pathlib import Path

import torch

from diffusion import SampleInfo
from modes.kept_pictures import save_sheet
from modes.model import Model
from modes.real_data import data_words, real_data
from sampling import named_if_changed
from sampling.interpolation import pick, reconstruct
from sampling.provenance import texts_of
from sampling.real_labels import labels_of
from sampling.trained import check_reversible
from utils.bars import progress_bar
from utils.errors import RequestError
from utils.pictures import grid, readable_scale

PICTURES = 10  # unless --sample_num says otherwise


def run(
    model: Model,
    sampler: SampleInfo,
    *,
    seed: int,
    save_dir: str,
    sample_num: int | None,
    batch_size: int | None,
    data_name: str | None,
    data_path: str | None,
    config: str | None,
) -> list[Path]:
    """`sample_num` real pictures, and below each what its latent is decoded to; prints how well that went."""
    trained, count = model.trained, sample_num or PICTURES
    check_reversible(trained, sampler, "--test_mode reconstruct")
    words = [
        *named_if_changed("seed", seed, 0),
        *named_if_changed("n", count, PICTURES),
        *data_words(model.settings, data_name, data_path, config),
    ]
    path = Path(f"{trained.output_prefix(save_dir, sampler, *words)}_reconstruct.png")
    print(f"Draws:   {count:,} real pictures, encoded in {sampler.steps} steps and drawn again")
    print(f"Output:  {path}", flush=True)
    data = real_data(model.settings, data_name, data_path, config).load()
    images = data.images
    if count > len(images):
        raise RequestError(f"--sample_num {count}: there are {len(images):,} pictures")
    chosen = pick(len(images), range(seed, seed + count), 1)[0].numpy()
    pictures = torch.from_numpy(images[chosen])
    with progress_bar(2 * count * sampler.steps, "step") as bar:
        again, latents = reconstruct(
            trained.network, trained.diffusion, sampler, pictures, batch_size=model.batch_size(batch_size, count),
            device=trained.device, advance=bar.update, labels=labels_of(trained, data, chosen), num_classes=trained.num_classes,
        )  # fmt: skip
    mse = ((pictures.double() - again.double()) / 255).square().flatten(1).mean(dim=1)  # (count,)
    psnr = -10 * mse.clamp(min=1e-10).log10()
    print(
        f"Error:   MSE {mse.mean():.6f} (of 0 to 1), PSNR {psnr.mean():.2f} dB, the worst picture {psnr.min():.2f} dB"
    )
    print(f"Latents: mean {latents.mean():.3f}, standard deviation {latents.std():.3f} (noise: 0 and 1)")
    both = torch.cat([pictures, again])
    sheet = grid(both, count, scale=readable_scale(both), row_labels=["real", "again"])
    options = {"seed": seed, "sample_num": count, "data_name": data_name, "data_path": data_path, "config": config}
    return [save_sheet(path, sheet, texts_of(trained, "reconstruct", sampler, options))]
