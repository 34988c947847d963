"""`random_gen`: new pictures from noise, and how they came about."""

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from diffusion import SampleInfo
from utils.drawing import Frames, batches_of, draw
from utils.pictures import grid, near_square, save_gif, save_png
from utils.trained import Trained

GRID_MAX = 1024  # pictures in the final grid
PROGRESS_MAX = 64  # pictures whose denoising is shown
PROGRESS_COLUMNS = 16


def run(args: argparse.Namespace, trained: Trained, info: SampleInfo) -> list[Path]:
    """Draws `sample_num` pictures, batch by batch: the final grid, the progress picture and GIF, the single pictures."""
    count = args.sample_num or trained.settings.sample.sample_num
    batch_size = args.batch_size or trained.settings.sample.batch_size
    prefix = trained.output_prefix(args.save_dir, info)
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
            pictures = draw(trained.network, trained.diffusion, info, seeds, trained.shape, trained.device, callback)
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
