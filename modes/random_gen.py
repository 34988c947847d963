"""`random_gen`: new pictures from noise, and how they came about.

Pictures are drawn in batches, each the same whatever the number of processes, which share the batches out.
"""

from pathlib import Path

import torch
from torch import Tensor

from diffusion import SampleInfo
from modes.kept_pictures import KeptPictures, are_of_request
from modes.model import Model
from sampling import Trained, named_if_changed
from sampling.drawing import Frames, batches_of, draw, progress_moments
from sampling.provenance import texts_of
from sampling.sheets import PROGRESS_COLUMNS, final_sheet, progress_frames
from utils.background import Background
from utils.bars import interrupt_says, progress_bar
from utils.compiling import compile_in_place
from utils.distributed import Ranks
from utils.files import keep_other
from utils.pictures import grid, readable_scale, save_gif, save_png, save_pngs

MODE = "random_gen"
GRID_MAX = 1024  # pictures in the final grid
PROGRESS_MAX = 64  # pictures whose denoising is shown
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
    default = model.settings.sample.sample_num
    wanted = sample_num or default
    count = wanted if save_images else min(wanted, GRID_MAX)
    words = [*named_if_changed("seed", seed, 0), *named_if_changed("n", count, default)]
    prefix = trained.output_prefix(save_dir, sampler, *words)
    at_a_time = ranks.broadcast_from_rank0(lambda: model.batch_size(batch_size, count, ranks.size))
    # A picture's file is named by its seed: of whatever number it was drawn, and from whichever seed on, it is the same.
    folder = Path(f"{trained.output_prefix(save_dir, sampler)}_images") if save_images else None
    print(f"Draws:   {count:,} pictures, seeds {seed} to {seed + count - 1}, {at_a_time:,} at a time")
    print(f"Output:  {prefix}_final.png, _progress.png, _progress.gif" + (f", {folder}/" if folder else ""), flush=True)
    if count < wanted:
        print(
            f"Note:    not {wanted:,}, as the grid shows {GRID_MAX:,} at the most; --save_images draws and writes every one"
        )
    elif count > GRID_MAX:
        print(f"Note:    the grid shows the first {GRID_MAX:,}")
    kept = None
    if folder is not None:
        kept = KeptPictures(folder, lambda seed: texts_of(trained, MODE, sampler, {"seed": seed, "sample_num": 1}))
        ranks.broadcast_from_rank0(kept.check)

    mine = list(batches_of(range(seed, seed + count), at_a_time))[ranks.rank :: ranks.size]
    is_compiled = compile_in_place(trained.model, COMPILE[compile], trained.device, len(mine) * sampler.steps)
    pad_to = at_a_time if is_compiled else 0
    everyone = ranks.all_gather(draw_batches(trained, sampler, mine, seed, count, kept, pad_to, show_bar=ranks.is_main))
    if not ranks.is_main:
        return []
    drawn, shown = ({start: part for parts in side for start, part in parts.items()} for side in zip(*everyone))
    final = torch.cat([drawn[start] for start in sorted(drawn)])
    moments = [torch.cat(batches) for batches in zip(*(shown[start] for start in sorted(shown)))]
    texts = texts_of(
        trained, MODE, sampler, {"seed": seed, "sample_num": count, "save_images": True if count > GRID_MAX else None}
    )
    sheet = final_sheet(trained, final, range(seed, seed + len(final)))
    return [*write_sheets(prefix, sheet, moments, texts), *([folder] if folder is not None else [])]


def draw_batches(
    trained: Trained,
    sampler: SampleInfo,
    batches: list[range],
    first_seed: int,
    count: int,
    kept: "KeptPictures | None",
    pad_to: int,
    *,
    show_bar: bool,
) -> tuple[dict[int, Tensor], dict[int, list[Tensor]]]:
    """Draws the `batches` of seeds, of `count` from `first_seed` on; writes each picture where they are `kept`.

    For each batch, by its place among all: those of its pictures that the grid shows, (B, C, H, W); and those whose denoising
    is shown, moment by moment.
    """
    drawn: dict[int, Tensor] = {}
    shown: dict[int, list[Tensor]] = {}
    total = sum(map(len, batches)) * sampler.steps
    moments = progress_moments(trained.diffusion, sampler, PROGRESS_COLUMNS)
    stopped = "nothing was written; with --save_images the same command goes on where it was stopped"
    if kept is not None:
        stopped = f"what was drawn is in {kept.folder}; the same command goes on from there"
    with (
        interrupt_says(f"Stopped: {stopped}"),
        progress_bar(total, "step", visible=show_bar) as bar,
        Background() as writing,
    ):
        for seeds in batches:
            start = seeds[0] - first_seed
            pictures = None
            if start >= PROGRESS_MAX and kept is not None:  # of the first ones, the denoising is wanted too
                pictures = kept.read(seeds)
                bar.update(0 if pictures is None else len(seeds) * sampler.steps)
            if pictures is None:
                frames = Frames(moments, min(count, PROGRESS_MAX) - start)

                def callback(index, t, t_prev, x_t, prediction, frames=frames):
                    frames(index, t, t_prev, x_t, prediction)
                    bar.update(len(x_t))

                how = {"callback": callback, "pad_to": pad_to}
                pictures = draw(
                    trained.network, trained.diffusion, sampler, seeds, trained.shape, trained.device,
                    labels=trained.labels_of(seeds), num_classes=trained.num_classes, **how,
                )  # fmt: skip
                frames.finish(pictures)
                if start < PROGRESS_MAX:
                    shown[start] = frames.pictures()
                if kept is not None:
                    writing.do(save_pngs, kept.files(seeds, pictures))
            if start < GRID_MAX:
                drawn[start] = pictures[: GRID_MAX - start]
    return drawn, shown


def write_sheets(prefix: Path, final: Tensor, moments: list[Tensor], texts: dict[str, str]) -> list[Path]:
    """The sheet of the finished pictures, and the `moments` of their denoising, (M, C, H, W) each, as a picture (a row a
    picture, a column a moment) and as a GIF. All are enlarged for people."""
    rows = torch.stack(moments, dim=1).flatten(0, 1)
    paths = [Path(f"{prefix}_{name}") for name in ("final.png", "progress.png", "progress.gif")]
    keep_other(paths, are_of_request(paths, texts))
    return [
        save_png(paths[0], final, texts),
        save_png(paths[1], grid(rows, len(moments), scale=readable_scale(rows)), texts),
        save_gif(paths[2], progress_frames(moments)),
    ]
