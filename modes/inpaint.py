"""`inpaint`: a part of real pictures is kept, and the rest filled in."""

from pathlib import Path

import torch
from torch import Tensor

from diffusion import SampleInfo
from modes.kept_pictures import save_sheet
from modes.model import Model
from modes.real_data import check_picture_alone, data_words, pictures_of, real_data
from sampling import named_if_changed
from sampling.inpainting import inpaint, result_seeds
from sampling.masks import SHAPES, make_masks
from sampling.provenance import texts_of
from sampling.trained import file_word
from utils.bars import progress_bar
from utils.pictures import grid, readable_scale

PICTURES = 10  # unless --sample_num says otherwise; of --picture one
RESULTS = 4  # of each
HOLE = 128  # the grey of what is to be filled in


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
    picture: str | None,
    mask: str | None,
) -> list[Path]:
    """A column for each of `sample_num` real pictures: it, what of it is known, and several results."""
    check_picture_alone(picture, data_name, data_path, config)
    trained, spec = model.trained, mask or "box"
    default = PICTURES if picture is None else 1
    count = sample_num or default
    seeds = range(seed, seed + count)
    masks = make_masks(spec, trained.shape[1:], seeds)
    words = [
        *named_if_changed("seed", seed, 0),
        *named_if_changed("n", count, default),
        *named_if_changed("", spec if spec in SHAPES else file_word(Path(spec).name), "box"),
        *data_words(model.settings, data_name, data_path or picture, config),
    ]
    path = Path(f"{trained.output_prefix(save_dir, sampler, *words)}_inpaint.png")
    filled = masks.double().mean()
    print(f"Draws:   {RESULTS} results of each of {count:,} pictures; mask {spec}: {filled:.0%} of the pixels are filled in")
    print(f"Output:  {path}", flush=True)
    pictures, labels = pictures_of(trained, real_data(model.settings, data_name, data_path, config), picture, seeds)
    total = RESULTS * count
    jumps = sampler.walk(sampler.pairs_on(trained.diffusion))
    with progress_bar(total * len(jumps), "step") as bar:
        results = inpaint(
            trained.network, trained.diffusion, sampler, pictures.repeat(RESULTS, 1, 1, 1), masks.repeat(RESULTS, 1, 1, 1),
            seeds=result_seeds(seeds, RESULTS), batch_size=model.batch_size(batch_size, total), device=trained.device,
            advance=bar.update, labels=None if labels is None else labels.repeat(RESULTS), num_classes=trained.num_classes,
        )  # fmt: skip
    options = {
        "seed": seed,
        "sample_num": count,
        "data_name": data_name,
        "data_path": data_path,
        "config": config,
        "picture": picture,
        "mask": spec,
    }
    return [save_sheet(path, sheet_of(pictures, masks, results), texts_of(trained, "inpaint", sampler, options))]


def sheet_of(pictures: Tensor, masks: Tensor, results: Tensor) -> Tensor:
    """One picture, uint8 (C, ...): a row of the real ones, (N, C, H, W), of what is known, and of each N of the `results`."""
    rows = torch.cat([pictures, pictures.masked_fill(masks, HOLE), results])
    labels = ["real", "known", *map(str, range(1, len(results) // len(pictures) + 1))]
    return grid(rows, len(pictures), scale=readable_scale(rows), row_labels=labels)
