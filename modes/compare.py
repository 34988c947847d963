"""`compare`: several checkpoints and several samplers, the same seeds: a labelled grid, a table, a plot."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from datasets import ImageDataset
from diffusion import Guidance, SampleInfo
from diffusion.distillation import why_not
from evaluation.cells import Cell
from evaluation.drawn import network_calls
from evaluation.picture_metrics import PictureMetrics, SeedSets, find_extractor
from evaluation.record import comma_separated, describe_records, floor_row, markdown, save_text, table_row, this_command
from evaluation.sheets import Sheet, labelled_grid
from modes.model import Model
from sampling import Trained
from utils.bars import interrupt_says, progress_bar
from utils.distributed import Ranks
from utils.errors import RequestError
from utils.files import keep_other
from utils.pictures import read_png, save_png
from utils.plots import Curve, Figure, plot, save_plot

PICTURES = 1000  # a set, unless --sample_num says otherwise
FILES = ("grid.png", "told_apart.png", "table.md", "table.csv", "plot.png", "guidance.png")
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

    A student and other networks have no sampler in common: there is no cell where a checkpoint does not draw with it. The
    ranks share the drawing and the extractor's work.
    """
    folder = Path(save_dir).absolute()
    seed_sets = SeedSets(seed, sample_num or PICTURES, repeats or 1)
    check_alike(models)
    data, device = ImageDataset(**models[0].settings.data.model_dump()), models[0].trained.device
    found, without = find_extractor(data.source, extractor, inception_weights, device, seed_sets.count)
    metrics = PictureMetrics(data, found, seed=seed, ranks=ranks)
    cells = [Cell(folder / "compare_cells", trained, info, seed_sets) for trained, info in pairs_of(models, samplers)]
    are_there = ranks.broadcast_from_rank0(lambda: [cell.find(metrics) for cell in cells])
    missing = [cell for cell, is_there in zip(cells, are_there) if not is_there]
    print(
        f"Draws:   {seed_sets.count:,} pictures a cell, {seed_sets.repeats} times, "
        f"seeds {seed} to {seed + seed_sets.total - 1}"
    )
    print(f"Cells:   {len(cells)}, of which {len(cells) - len(missing)} are there already")
    leaves_out = {"told_apart.png"} if not metrics.tells_apart(seed_sets.count) else set()
    if found is None or not by_sampler(cells):
        leaves_out.add("guidance.png")
    names = ", _".join(name for name in FILES if name not in leaves_out)
    print(f"Output:  {folder / 'compare_'}{names}; {folder / 'compare_cells'}/", flush=True)
    if without:
        print(f"Note:    no FID and the like: {without}")
    measure_cells(missing, metrics, seed_sets, batch_size, ranks)
    if not ranks.is_main:
        return []
    keep_other([folder / f"compare_{name}" for name in FILES], holds_the_same(folder, cells))
    texts = {"command": this_command()}
    records = [cell.record for cell in cells]
    paths = [
        *save_grids(folder, cells, texts),
        save_text(folder / "compare_table.md", markdown(records)),
        save_text(folder / "compare_table.csv", comma_separated([*map(csv_row, cells), floor_row(records)])),
        save_plot(folder / "compare_plot.png", quality_plot(cells), texts),
    ]
    by_guidance = guidance_plot(cells)
    if by_guidance is not None:
        paths.append(save_plot(folder / "compare_guidance.png", by_guidance, texts))
    return paths


def pairs_of(models: Sequence[Model], samplers: Sequence[SampleInfo]) -> list[tuple[Trained, SampleInfo]]:
    """Each checkpoint with each sampler that draws from it. RequestError for a checkpoint without any."""
    pairs = []
    for trained, _ in models:
        reasons = [why_not(info, trained.student) for info in samplers]
        if all(reasons):
            raise RequestError(f"{trained.path}: {reasons[0]}")
        pairs += [(trained, info) for info, reason in zip(samplers, reasons) if reason is None]
    return pairs


def measure_cells(
    missing: Sequence[Cell], metrics: PictureMetrics, seed_sets: SeedSets, batch_size: int | None, ranks: Ranks
) -> None:
    """Draws and measures the cells, with a bar."""
    if not missing:
        return
    is_read = any(metrics.reader.reads(cell.trained.num_classes, cell.trained.classes.names) for cell in missing)
    floor = metrics.floor(seed_sets, is_read) if ranks.is_main else {}
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


def holds_the_same(folder: Path, cells: Sequence[Cell]) -> bool:
    """Whether the comparison in the folder is of some of these cells, by the same protocol: one of more takes its place."""
    try:
        with open(folder / "compare_table.csv", encoding="utf-8", newline="") as file:
            there = {row["cell"] for row in csv.DictReader(file) if row.get("cell")}
        protocol = (folder / "compare_table.md").read_text(encoding="utf-8").strip().rpartition("\n")[2]
    except (OSError, ValueError, csv.Error):
        there, protocol = set(), ""
    names = {Path(cell.stem).name for cell in cells}
    return bool(there) and there <= names and protocol == describe_records([cell.record for cell in cells])


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


def guidance_plot(cells: Sequence[Cell]) -> Figure | None:
    """Quality against variety: precision by recall, a curve for each checkpoint and sampler that is there at several scales of
    guidance, the scale beside each point, and real pictures. None where there is no such, or no extractor's figure.

    What is not guided is of scale 1, whatever the interval of the others.
    """
    if "precision" not in cells[0].record["figures"]:
        return None
    curves = []
    for (name, plain, interval), found in by_sampler(cells).items():
        label = f"{name}, {plain}" + ("" if interval is None else " t {}-{}".format(*interval))
        scales = [f"{cell.info.guidance.scale:g}" for cell in found]
        curves.append(_trade(label, [cell.record["figures"] for cell in found], scales))
    if not curves:
        return None
    floor = cells[0].record["floor"]["figures"]
    if "precision" in floor:
        curves.append(_trade(f"real: {cells[0].record['data_name']}", [floor]))
    return plot(curves, "scales of guidance", "recall (variety)", "precision (quality)", marked=True)


def by_sampler(cells: Sequence[Cell]) -> dict[tuple, list[Cell]]:
    """The cells of several scales of guidance, of each checkpoint, sampler and interval: by scale, not guided first."""
    of_sampler: dict[tuple, dict[float, Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.info.guidance.scale):
        guidance, plain = cell.info.guidance, str(replace(cell.info, guidance=Guidance()))
        of_sampler.setdefault((cell.trained.name, plain, guidance.interval), {})[guidance.scale] = cell
    for (name, plain, interval), found in of_sampler.items():
        unguided = of_sampler.get((name, plain, None), {}).get(1.0)
        if interval is not None and unguided is not None:
            found[1.0] = unguided
    return {key: [found[scale] for scale in sorted(found)] for key, found in of_sampler.items() if len(found) > 1}


def _trade(label: str, figures: Sequence[dict], notes: list[str] | None = None) -> Curve:
    """Precision by recall, of the records' figures."""
    recall, precision = ([each[name]["mean"] for each in figures] for name in ("recall", "precision"))
    std = [each["precision"]["std"] for each in figures]
    return Curve(label, recall, precision, None if None in std else std, notes=notes)
