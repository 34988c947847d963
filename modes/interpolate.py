"""`interpolate`: what lies between two real pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets import ImageDataset, LabelledImages
from diffusion import SampleInfo
from modes.kept_pictures import save_sheet
from modes.model import Model
from modes.real_data import data_words, real_data
from sampling import named_if_changed
from sampling.interpolation import changes, interpolate, pick, steps_in_all
from sampling.provenance import texts_of
from sampling.real_labels import labels_of
from sampling.trained import check_reversible
from utils.bars import progress_bar
from utils.errors import RequestError
from utils.pictures import grid, readable_scale

PAIRS = 10  # unless --sample_num says otherwise
COEFFICIENTS = 11  # from 0 to 1, unless --interpolate_num says otherwise


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
    interpolate_mode: str | None,
    interpolate_steps: int | None,
    interpolate_num: int | None,
) -> list[Path]:
    """A column for each of `sample_num` pairs of real pictures: the first, what lies between, the second."""
    trained, count, mode = model.trained, sample_num or PAIRS, interpolate_mode or "slerp"
    timestep_num = trained.diffusion.timestep_num
    if (interpolate_steps or 1) > timestep_num:
        raise RequestError(f"--interpolate_steps {interpolate_steps}: the model knows {timestep_num} steps of noise")
    coefficients = torch.linspace(0, 1, interpolate_num or COEFFICIENTS).tolist()
    default_steps = timestep_num if mode == "ddim" else max(1, timestep_num // 2)
    steps = interpolate_steps or default_steps
    if mode == "ddim":
        check_reversible(trained, sampler, "--interpolate_mode ddim")
    words = [
        *named_if_changed("seed", seed, 0),
        *named_if_changed("n", count, PAIRS),
        *named_if_changed("", mode, "slerp"),
        *named_if_changed("steps", steps, default_steps),
        *named_if_changed("num", len(coefficients), COEFFICIENTS),
        *data_words(model.settings, data_name, data_path, config),
    ]
    path = Path(f"{trained.output_prefix(save_dir, sampler, *words)}_interpolate.png")
    print(f"Draws:   {count:,} pairs of real pictures, {len(coefficients)} coefficients, {mode}, {steps} steps of noise")
    print(f"Output:  {path}", flush=True)
    seeds = range(seed, seed + count)
    data, chosen = read_pairs(real_data(model.settings, data_name, data_path, config), seeds)
    first, second = torch.from_numpy(data.images[chosen])  # each (count, C, H, W)
    classes = labels_of(trained, data, chosen)
    with progress_bar(steps_in_all(trained.diffusion, sampler, mode, steps, count, len(coefficients)), "step") as bar:
        between = interpolate(
            trained.network, trained.diffusion, sampler, first, second, mode=mode, seeds=seeds, coefficients=coefficients,
            noise_steps=steps, batch_size=model.batch_size(batch_size, count * len(coefficients)), device=trained.device,
            advance=bar.update, labels=None if classes is None else tuple(classes), num_classes=trained.num_classes,
        )  # fmt: skip
    print_changes(between, seeds, coefficients)
    sheet = sheet_of(torch.cat([first[None], between, second[None]]), coefficients)
    options = {
        "seed": seed,
        "sample_num": count,
        "interpolate_mode": mode,
        "interpolate_steps": steps,
        "interpolate_num": len(coefficients),
        "data_name": data_name,
        "data_path": data_path,
        "config": config,
    }
    return [save_sheet(path, sheet, texts_of(trained, "interpolate", sampler, options))]


def read_pairs(dataset: ImageDataset, seeds: Sequence[int]) -> tuple[LabelledImages, np.ndarray]:
    """The data, and which two of its pictures make the pair of each seed: (2, pairs). RequestError if there are too few."""
    check_enough(dataset.count(), len(seeds))
    data = dataset.load()
    check_enough(len(data.images), len(seeds))  # some may have been unreadable
    return data, pick(len(data.images), seeds, 2).numpy()


def check_enough(picture_num: int, pair_num: int) -> None:
    """RequestError if so many pictures are too few for so many pairs."""
    if picture_num < 2:
        raise RequestError(f"interpolation needs two pictures, and there is {picture_num}")
    if pair_num > picture_num:
        raise RequestError(f"--sample_num {pair_num}: there are {picture_num:,} pictures to make pairs of")


def sheet_of(rows: Tensor, coefficients: Sequence[float]) -> Tensor:
    """The picture of (coefficients + 2, pairs, C, H, W), of which the first and the last row are real: uint8 (C, ...)."""
    labels = ["real", *(f"{coefficient:.2g}" for coefficient in coefficients), "real"]
    return grid(rows.flatten(0, 1), rows.shape[1], scale=readable_scale(rows), row_labels=labels)


def print_changes(between: Tensor, seeds: Sequence[int], coefficients: Sequence[float]) -> None:
    """How much each picture differs from the next, pair by pair: uint8 (coefficients, pairs, C, H, W)."""
    print("Change from each picture to the next (root mean square, of 0 to 1):")
    for pair, change in zip(seeds, changes(between).T):
        at = change.argmax().item()
        where = f"{coefficients[at]:.2f} -> {coefficients[at + 1]:.2f}"
        print(f"  pair {pair}: mean {change.mean():.3f}, largest {change.max():.3f} at {where}")
    total = changes(between)
    print(f"  all: mean {total.mean():.3f}, largest {total.amax(dim=0).mean():.3f} (averaged over pairs)")
