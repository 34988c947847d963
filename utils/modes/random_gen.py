"""`random_gen`: new pictures from noise, and how they came about.

Pictures are drawn in batches, each the same whatever the number of processes, which share the batches out.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from diffusion import SampleInfo
from utils.device import compile_in_place
from utils.distributed import Ranks
from utils.drawing import Frames, batches_of, draw
from utils.errors import RequestError
from utils.files import written_whole
from utils.pictures import PictureWriter, grid, near_square, save_gif, save_png
from utils.trained import Trained

GRID_MAX = 1024  # pictures in the final grid
PROGRESS_MAX = 64  # pictures whose denoising is shown
PROGRESS_COLUMNS = 16
COMPILE = {None: "auto", "auto": "auto", "yes": True, "no": False}
MANIFEST = "drawn_by.json"  # in the folder of single pictures: what they were drawn with


def run(args: argparse.Namespace, trained: Trained, info: SampleInfo, ranks: Ranks) -> list[Path]:
    """Draws `sample_num` pictures, batch by batch: the final grid, the progress picture and GIF, the single pictures."""
    count = args.sample_num or trained.settings.sample.sample_num
    batch_size = args.batch_size or trained.settings.sample.batch_size
    prefix = trained.output_prefix(args.save_dir, info)
    folder = prefix.with_name(f"{prefix.name}_images") if args.save_images else None
    print(f"Draws:   {count:,} pictures, seeds {args.seed} to {args.seed + count - 1}, {batch_size} at a time")
    print(f"Output:  {prefix}_final.png, _progress.png, _progress.gif" + (f", {folder}/" if folder else ""), flush=True)
    if count > GRID_MAX:
        print(
            f"Note:    the grid shows the first {GRID_MAX:,}" + ("" if folder else "; --save_images writes every one")
        )
    if folder is not None:
        ranks.from_first(lambda: check_manifest(folder, trained, info))

    mine = list(batches_of(range(args.seed, args.seed + count), batch_size))[ranks.rank :: ranks.size]
    compile_in_place(trained.model, COMPILE[args.compile], trained.device, len(mine) * info.steps)
    drawn: dict[int, Tensor] = {}  # the first seed of a batch -> those of its pictures that the grid shows
    shown: dict[int, list[Tensor]] = {}  # ... -> those whose denoising is shown, moment by moment
    total = sum(map(len, mine)) * info.steps
    with tqdm(total=total, unit="call", unit_scale=True, disable=not ranks.first) as bar, PictureWriter() as writer:
        for seeds in mine:
            start = seeds[0] - args.seed
            pictures = None
            if start >= PROGRESS_MAX and folder is not None:  # of the first ones, the denoising is wanted too
                pictures = read_pictures(folder, seeds, trained.shape)
                bar.update(0 if pictures is None else len(seeds) * info.steps)
            if pictures is None:
                frames = Frames(info.steps, min(count, PROGRESS_MAX) - start, PROGRESS_COLUMNS)

                def callback(index, t, t_prev, x_t, prediction, frames=frames):
                    frames(index, t, t_prev, x_t, prediction)
                    bar.update(len(x_t))

                pictures = draw(
                    trained.network, trained.diffusion, info, seeds, trained.shape, trained.device, callback
                )
                frames.finish(pictures)
                if start < PROGRESS_MAX:
                    shown[start] = frames.pictures()
                if folder is not None:
                    writer.write((folder / f"{seed:06d}.png", picture) for seed, picture in zip(seeds, pictures))
            if start < GRID_MAX:
                drawn[start] = pictures[: GRID_MAX - start]

    everyone = ranks.gathered((drawn, shown))
    if not ranks.first:
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


def check_manifest(folder: Path, trained: Trained, info: SampleInfo) -> None:
    """Notes in `folder` what its pictures are drawn with. RequestError if those that are there were drawn with anything else.

    So that drawing which was stopped can go on, and never mixes pictures of two kinds.
    """
    wanted = {
        "weights": trained.digest,
        "which": trained.which,
        "sampler": str(info),
        "precision": trained.precision,
        "device": trained.device.type,
    }
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except (ValueError, OSError) as error:
        raise RequestError(
            f"{path} cannot be read ({error}): move {folder} away, or choose another --save_dir"
        ) from None
    if found is None and any(folder.glob("*.png")):
        raise RequestError(f"{folder} holds pictures, and no {MANIFEST} that says of what: move them away")
    if found is None:
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
    elif found != wanted:
        other = [
            f"{key} {found.get(key)} there, {value} now" for key, value in wanted.items() if found.get(key) != value
        ]
        raise RequestError(
            f"the pictures in {folder} were drawn otherwise ({'; '.join(other)}): move them away, or choose another --save_dir"
        )


def read_pictures(folder: Path, seeds: Sequence[int], shape: tuple[int, int, int]) -> Tensor | None:
    """The pictures of `seeds` that an earlier call left in `folder`, uint8 (N, C, H, W); None unless all are there, whole."""
    pictures = []
    for seed in seeds:
        try:
            with Image.open(folder / f"{seed:06d}.png") as image:
                pictures.append(torch.from_numpy(np.atleast_3d(np.array(image)).transpose(2, 0, 1)))
        except (OSError, SyntaxError):  # missing, or not whole: Pillow raises either
            return None
        if pictures[-1].shape != shape:
            return None
    return torch.stack(pictures)
