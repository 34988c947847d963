"""`edit`: real pictures, or a crude drawing, noised and drawn anew."""

from pathlib import Path

import torch

from diffusion import SampleInfo
from modes.kept_pictures import save_sheet
from modes.model import Model
from modes.real_data import check_picture_alone, data_words, pictures_of, real_data
from sampling import named_if_changed
from sampling.inpainting import edit, edit_pairs, result_seeds, steps_of_noise
from sampling.provenance import texts_of
from sampling.trained import file_word
from utils.bars import progress_bar
from utils.pictures import grid, readable_scale

PICTURES = 10  # unless --sample_num says otherwise; of --picture one
RESULTS = 4  # of each
STRENGTH = 0.6


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
    strength: float | None,
) -> list[Path]:
    """A column for each of `sample_num` real pictures: it, and several results."""
    check_picture_alone(picture, data_name, data_path, config)
    trained, strength = model.trained, strength or STRENGTH
    default = PICTURES if picture is None else 1
    count = sample_num or default
    words = [
        *named_if_changed("seed", seed, 0),
        *named_if_changed("n", count, default),
        *([] if strength == STRENGTH else [f"strength{file_word(f'{strength:g}')}"]),
        *data_words(model.settings, data_name, data_path or picture, config),
    ]
    path = Path(f"{trained.output_prefix(save_dir, sampler, *words)}_edit.png")
    jumps = edit_pairs(trained.diffusion, sampler, strength)
    print(
        f"Draws:   {RESULTS} results of each of {count:,} pictures: "
        f"{steps_of_noise(strength, trained.diffusion.timestep_num):,} steps of noise, denoised in {len(jumps)}"
    )
    print(f"Output:  {path}", flush=True)
    seeds = range(seed, seed + count)
    pictures, labels = pictures_of(trained, real_data(model.settings, data_name, data_path, config), picture, seeds)
    total = RESULTS * count
    with progress_bar(total * len(jumps), "step") as bar:
        results = edit(
            trained.network, trained.diffusion, sampler, pictures.repeat(RESULTS, 1, 1, 1), strength=strength,
            seeds=result_seeds(seeds, RESULTS), batch_size=model.batch_size(batch_size, total), device=trained.device,
            advance=bar.update, labels=None if labels is None else labels.repeat(RESULTS), num_classes=trained.num_classes,
        )  # fmt: skip
    rows = torch.cat([pictures, results])
    sheet = grid(rows, count, scale=readable_scale(rows), row_labels=["real", *map(str, range(1, RESULTS + 1))])
    options = {
        "seed": seed,
        "sample_num": count,
        "data_name": data_name,
        "data_path": data_path,
        "config": config,
        "picture": picture,
        "strength": strength,
    }
    return [save_sheet(path, sheet, texts_of(trained, "edit", sampler, options))]
