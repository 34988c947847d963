"""`random_gen`: new pictures from noise, and how they came about.

Pictures are drawn in batches, each the same whatever the number of processes, which share the batches out.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from diffusion import SampleInfo
from modes.model import Model
from sampling.drawing import Frames, batches_of, draw
from utils.background import Background
from utils.device import compile_in_place
from utils.distributed import Ranks
from utils.errors import RequestError
from utils.pictures import grid, near_square, save_gif, save_png, save_pngs

GRID_MAX = 1024  # pictures in the final grid
PROGRESS_MAX = 64  # pictures whose denoising is shown
PROGRESS_COLUMNS = 16
COMPILE = {None: "auto", "auto": "auto", "yes": True, "no": False}


def run(
    model: Model,
    sampler: SampleInfo,
    *,
    seed: int,
    save_dir: str,
    sample_num: int | None,
    batch_size: int | None,
    save_images: bool | None,
    compile: str | None,
    ranks: Ranks,
) -> list[Path]:
    """Draws `sample_num` pictures, batch by batch: the final grid, the progress picture and GIF, the single pictures."""
    trained = model.trained
    count = sample_num or model.settings.sample.sample_num
    batch_size = batch_size or trained.batch_size
    prefix = trained.output_prefix(save_dir, sampler)
    folder = prefix.with_name(f"{prefix.name}_images") if save_images else None
    drawn_by = f"{sampler}, {trained.weights} weights {trained.digest}, {trained.device.type} in {trained.precision}"
    print(f"Draws:   {count:,} pictures, seeds {seed} to {seed + count - 1}, {batch_size} at a time")
    print(f"Output:  {prefix}_final.png, _progress.png, _progress.gif" + (f", {folder}/" if folder else ""), flush=True)
    if count > GRID_MAX:
        print(
            f"Note:    the grid shows the first {GRID_MAX:,}" + ("" if folder else "; --save_images writes every one")
        )
    if folder is not None:
        ranks.broadcast_from_rank0(lambda: check_drawn_by(folder, drawn_by))

    mine = list(batches_of(range(seed, seed + count), batch_size))[ranks.rank :: ranks.size]
    compile_in_place(trained.model, COMPILE[compile], trained.device, len(mine) * sampler.steps)
    drawn: dict[int, Tensor] = {}  # the first seed of a batch -> those of its pictures that the grid shows
    shown: dict[int, list[Tensor]] = {}  # ... -> those whose denoising is shown, moment by moment
    total = sum(map(len, mine)) * sampler.steps
    with tqdm(total=total, unit="call", unit_scale=True, disable=not ranks.is_main) as bar, Background() as writing:
        for seeds in mine:
            start = seeds[0] - seed
            pictures = None
            if start >= PROGRESS_MAX and folder is not None:  # of the first ones, the denoising is wanted too
                pictures = read_pictures(folder, seeds, drawn_by)
                bar.update(0 if pictures is None else len(seeds) * sampler.steps)
            if pictures is None:
                frames = Frames(sampler.steps, min(count, PROGRESS_MAX) - start, PROGRESS_COLUMNS)

                def callback(index, t, t_prev, x_t, prediction, frames=frames):
                    frames(index, t, t_prev, x_t, prediction)
                    bar.update(len(x_t))

                pictures = draw(
                    trained.network, trained.diffusion, sampler, seeds, trained.shape, trained.device, callback
                )
                frames.finish(pictures)
                if start < PROGRESS_MAX:
                    shown[start] = frames.pictures()
                if folder is not None:
                    files = [
                        (folder / f"{number:06d}.png", picture, drawn_by) for number, picture in zip(seeds, pictures)
                    ]
                    writing.do(save_pngs, files)
            if start < GRID_MAX:
                drawn[start] = pictures[: GRID_MAX - start]

    everyone = ranks.all_gather((drawn, shown))
    if not ranks.is_main:
        return []
    drawn, shown = ({start: part for parts in side for start, part in parts.items()} for side in zip(*everyone))
    final = torch.cat([drawn[start] for start in sorted(drawn)])
    moments = [torch.cat(batches) for batches in zip(*(shown[start] for start in sorted(shown)))]
    return [*write_sheets(prefix, final, moments), *([folder] if folder is not None else [])]


def write_sheets(prefix: Path, final: Tensor, moments: list[Tensor]) -> list[Path]:
    """The grid of the `final` pictures (N, C, H, W), and the `moments` of their denoising, (M, C, H, W) each, as a picture (a
    row a picture, a column a moment) and as a GIF."""
    rows = torch.stack(moments, dim=1).flatten(0, 1)
    columns = near_square(len(moments[0]))
    return [
        save_png(Path(f"{prefix}_final.png"), grid(final, near_square(len(final)))),
        save_png(Path(f"{prefix}_progress.png"), grid(rows, len(moments))),
        save_gif(Path(f"{prefix}_progress.gif"), [grid(moment, columns) for moment in moments]),
    ]


def check_drawn_by(folder: Path, drawn_by: str) -> None:
    """RequestError if the pictures in `folder` were drawn otherwise: two kinds are never mixed."""
    for path in sorted(folder.glob("*.png"))[:1]:
        read_picture(path, drawn_by)


def read_picture(path: Path, drawn_by: str) -> Tensor | None:
    """A picture of an earlier call, uint8 (C, H, W); None if it is not there, whole. RequestError if it was drawn otherwise."""
    try:
        with Image.open(path) as image:
            image.load()
            found = getattr(image, "text", {}).get("drawn_by", "something unknown")
            picture = torch.from_numpy(np.atleast_3d(np.array(image)).transpose(2, 0, 1))
    except (OSError, SyntaxError):  # missing, or not whole: Pillow raises either
        return None
    if found != drawn_by:
        raise RequestError(
            f"{path} was drawn by {found}, not by {drawn_by}: move that folder away, or choose another --save_dir"
        )
    return picture


def read_pictures(folder: Path, seeds: Sequence[int], drawn_by: str) -> Tensor | None:
    """The pictures of `seeds` that an earlier call left in `folder`, uint8 (N, C, H, W); None unless all are there, whole."""
    pictures = []
    for seed in seeds:
        picture = read_picture(folder / f"{seed:06d}.png", drawn_by)
        if picture is None:
            return None
        pictures.append(picture)
    return torch.stack(pictures)
