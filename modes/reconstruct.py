"""`reconstruct`: real pictures to their latents, and back."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffusion import SampleInfo
from evaluation.record import identity, is_same_request, model_record, save_json
from modes.model import Model
from modes.real_data import data_words, given_options, load_split, real_data
from sampling import named_if_changed
from sampling.interpolation import pick, reconstruct
from sampling.provenance import texts_of
from sampling.real_labels import labels_of
from sampling.trained import check_reversible
from utils.bars import progress_bar
from utils.files import keep_other
from utils.pictures import grid, readable_scale, save_png

PICTURES = 10  # unless --sample_num says otherwise
SPLIT = "train"  # unless --split says otherwise


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
    split: str | None,
) -> list[Path]:
    """`sample_num` real pictures, and below each what its latent is decoded to; how well that went is printed and recorded."""
    trained, count, split = model.trained, sample_num or PICTURES, split or SPLIT
    check_reversible(trained, sampler, "--test_mode reconstruct")
    words = [
        *named_if_changed("seed", seed, 0),
        *named_if_changed("n", count, PICTURES),
        *named_if_changed("", split, SPLIT),
        *data_words(model.settings, data_name, data_path, config),
    ]
    prefix = trained.output_prefix(save_dir, sampler, *words)
    paths = [Path(f"{prefix}_reconstruct.{kind}") for kind in ("json", "png")]
    print(f"Draws:   {count:,} real pictures, encoded in {sampler.steps} steps and drawn again")
    print(f"Output:  {', '.join(map(str, paths))}", flush=True)
    data = real_data(model.settings, data_name, data_path, config)
    loaded = load_split(data, split, count)
    chosen = pick(len(loaded.images), range(seed, seed + count), 1)[0].numpy()
    pictures = torch.from_numpy(loaded.images[chosen])
    with progress_bar(2 * count * sampler.steps, "step") as bar:
        again, latents = reconstruct(
            trained.network, trained.diffusion, sampler, pictures, labels=labels_of(trained, loaded, chosen),
            num_classes=trained.num_classes, batch_size=model.batch_size(batch_size, count), device=trained.device,
            advance=bar.update,
        )  # fmt: skip
    record: dict[str, Any] = model_record(trained) | identity(trained, sampler)
    record["protocol"] = {"pictures": count, "data": data.source, "split": split, "seed": seed}
    record["real_pictures"] = given_options(data_name, data_path, config)
    record["figures"] = figures_of(pictures, again)
    record["latents"] = {"mean": latents.mean().item(), "std": latents.std().item()}
    _print(record)
    both = torch.cat([pictures, again])
    sheet = grid(both, count, scale=readable_scale(both), row_labels=["real", "again"])
    options = {"seed": seed, "sample_num": count, "split": split, **(record["real_pictures"] or {})}
    keep_other(paths, is_same_request(paths[0], record))
    return [save_json(paths[0], record), save_png(paths[1], sheet, texts_of(trained, "reconstruct", sampler, options))]


def figures_of(pictures: Tensor, again: Tensor) -> dict[str, Any]:
    """How far each of `again` lies from its picture, both uint8 (N, C, H, W): the mean square error, of 0 to 1, and the
    PSNR in dB, at most 100."""
    mse = ((pictures.double() - again.double()) / 255).square().flatten(1).mean(dim=1)  # (N,)
    each = {"mse": mse, "psnr": -10 * mse.clamp(min=1e-10).log10()}
    return {
        name: {
            "mean": values.mean().item(),
            "std": values.std().item() if len(values) > 1 else None,
            "each": values.tolist(),
        }
        for name, values in each.items()
    }


def _print(record: dict[str, Any]) -> None:
    protocol, latents = record["protocol"], record["latents"]
    mse, psnr = record["figures"]["mse"], record["figures"]["psnr"]
    print(
        f"Error:   MSE {mse['mean']:.6f} (of 0 to 1), PSNR {psnr['mean']:.2f} dB, the worst picture "
        f"{min(psnr['each']):.2f} dB: {protocol['pictures']:,} pictures of the {protocol['split']} split"
    )
    print(f"Latents: mean {latents['mean']:.3f}, standard deviation {latents['std']:.3f} (noise: 0 and 1)")
