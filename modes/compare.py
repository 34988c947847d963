"""`compare`: several checkpoints and several samplers, the same seeds: a labelled grid, a table, a plot."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets import ImageDataset
from diffusion import SampleInfo
from evaluation.cells import Cell
from evaluation.drawn import network_calls
from evaluation.picture_metrics import PictureMetrics, SeedSets, find_extractor
from evaluation.record import comma_separated, describe, floor_row, markdown, save_text, table_row, this_command
from evaluation.sheets import Sheet, labelled_grid
from modes.model import Model
from utils.bars import interrupt_says, progress_bar
from utils.distributed import Ranks
from utils.errors import RequestError
from utils.files import put_aside
from utils.pictures import read_png, save_png
from utils.plots import Curve, Figure, plot, save_plot

PICTURES = 1000  # a set, unless --sample_num says otherwise
FILES = ("grid.png", "told_apart.png", "table.md", "table.csv", "plot.png")
COLUMNS = 6  # of a grid that has one sampler for all checkpoints


def run(
    models: list[Model],
    samplers: list[SampleInfo],
    *,
    seed: int,
    save_dir: str,
    sample_num: int | None,
    batch_size: int | None,
    repeats: int | None,
    extractor: str | None,
    inception_weights: str | None,
    ranks: Ranks,
) -> list[Path]:
    """A cell for each checkpoint and sampler, measured unless it was before; and what they look like side by side.

    The ranks share the drawing and the extractor's work.
    """
    folder = Path(save_dir).absolute()
    seed_sets = SeedSets(seed, sample_num or PICTURES, repeats or 1)
    check_alike(models)
    data, device = ImageDataset(**models[0].settings.data.model_dump()), models[0].trained.device
    found, why_not = find_extractor(data.source, extractor, inception_weights, device, seed_sets.count)
    metrics = PictureMetrics(data, found, seed=seed, ranks=ranks)
    cells = [Cell(folder / "compare_cells", model.trained, info, seed_sets) for model in models for info in samplers]
    are_there = ranks.broadcast_from_rank0(lambda: [cell.find(metrics) for cell in cells])
    missing = [cell for cell, is_there in zip(cells, are_there) if not is_there]
    print(
        f"Draws:   {seed_sets.count:,} pictures a cell, {seed_sets.repeats} times, "
        f"seeds {seed} to {seed + seed_sets.total - 1}"
    )
    print(f"Cells:   {len(cells)}, of which {len(cells) - len(missing)} are there already")
    print(
        f"Output:  {folder / 'compare_'}grid.png, _told_apart.png, _table.md, _table.csv, _plot.png; "
        f"{folder / 'compare_cells'}/",
        flush=True,
    )
    if why_not:
        print(f"Note:    no FID and the like: {why_not}")
    measure_cells(missing, metrics, seed_sets, batch_size, ranks)
    if not ranks.is_main:
        return []
    keep_other(folder, cells)
    texts = {"command": this_command()}
    return [
        *save_grids(folder, cells, texts),
        save_text(folder / "compare_table.md", markdown([cell.record for cell in cells])),
        save_text(folder / "compare_table.csv", comma_separated([*map(csv_row, cells), floor_row(cells[0].record)])),
        save_plot(folder / "compare_plot.png", quality_plot(cells), texts),
    ]


def measure_cells(
    missing: Sequence[Cell], metrics: PictureMetrics, seed_sets: SeedSets, batch_size: int | None, ranks: Ranks
) -> None:
    """Draws and measures the cells, with a bar."""
    if not missing:
        return
    floor = metrics.floor(seed_sets) if ranks.is_main else {}
    total = sum(seed_sets.total * network_calls(cell.trained, cell.info) for cell in missing) // ranks.size
    stopped = "Stopped: the finished cells are kept; the same command goes on with the others"
    with interrupt_says(stopped), progress_bar(total, "call", visible=ranks.is_main) as bar:
        for cell in missing:
            bar.set_postfix_str(f"{cell.trained.name} {cell.info}", refresh=False)
            cell.measure(metrics, floor, batch_size, bar.update, ranks)


def check_alike(models: Sequence[Model]) -> None:
    """RequestError unless all were trained on the same pictures, and have names by which to tell them apart."""
    first = models[0]
    for other in models[1:]:
        if other.settings.data != first.settings.data:
            raise RequestError(
                f"{other.trained.path} was trained on other pictures ({other.settings.data_name}) than {first.trained.path} "
                f"({first.settings.data_name}): compare those of one data set at a time"
            )
    names = [model.trained.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(
                f"--model_path: {names.count(name)} checkpoints are called {name}; rename a file or folder"
            )


def save_grids(folder: Path, cells: Sequence[Cell], texts: Mapping[str, str]) -> list[Path]:
    """The first pictures of each cell side by side, and those that are told apart most surely, where it was asked."""
    first = labelled_grid([_sheet(cell, cell.sheet) for cell in cells], COLUMNS)
    paths = [save_png(folder / "compare_grid.png", first, texts)]
    asked = [_sheet(cell, cell.told_apart_sheet) for cell in cells if cell.record["told_apart"] is not None]
    if asked:
        paths.append(save_png(folder / "compare_told_apart.png", labelled_grid(asked, COLUMNS), texts))
    return paths


def _sheet(cell: Cell, path: Path) -> Sheet:
    return Sheet(cell.trained.name, cell.info.label, str(cell.info.steps), read_png(path))


def keep_other(folder: Path, cells: Sequence[Cell]) -> None:
    """Puts aside the comparison of other cells, or by another protocol, that is in the folder. One of more cells takes the
    place of a smaller one."""
    try:
        with open(folder / "compare_table.csv", encoding="utf-8", newline="") as file:
            there = {row["cell"] for row in csv.DictReader(file) if row.get("cell")}
        protocol = (folder / "compare_table.md").read_text(encoding="utf-8").strip().rpartition("\n")[2]
    except (OSError, ValueError, csv.Error):
        there, protocol = set(), ""
    record, names = cells[0].record, {Path(cell.stem).name for cell in cells}
    if there and there <= names and protocol == describe(record["protocol"], record["weights"]):
        return
    if kept := put_aside([folder / f"compare_{name}" for name in FILES]):
        print(f"Kept:    {', '.join(map(str, kept))}, of other cells")


def csv_row(cell: Cell) -> dict:
    """The cell's row, and the name of its files."""
    return table_row(cell.record) | {"cell": Path(cell.stem).name}


def quality_plot(cells: Sequence[Cell]) -> Figure:
    """FID against network calls, a curve a sampler; KID of small sets; grain where there is no extractor's figure."""
    measured = cells[0].record["figures"]  # all cells are of as many pictures, measured alike
    figure = next(name for name in ("fid", "kid", "grain") if name in measured)
    several = len({cell.trained.name for cell in cells}) > 1
    points: dict[str, list[tuple]] = {}
    for cell in cells:
        value = cell.record["figures"][figure]
        label = f"{cell.trained.name}, {cell.info.label}" if several else cell.info.label
        points.setdefault(label, []).append((cell.record["network_calls"], value["mean"], value["std"] or 0.0))
    curves = [Curve(label, *(list(column) for column in zip(*sorted(found)))) for label, found in points.items()]
    title = {"fid": "FID (lower is better)", "kid": "KID (lower is better)", "grain": "grain"}[figure]
    return plot(curves, f"{title} by network calls", "network calls a picture", figure, log_x=True, marked=True)
