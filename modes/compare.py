"""`compare`: several checkpoints and several samplers, the same seeds: a labelled grid, a table, a plot."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from tqdm import tqdm

from datasets import ImageDataset
from diffusion import SampleInfo
from evaluation.cells import Cell, Judge, Lots
from evaluation.sheets import Sheet, labelled_grid
from modes.model import Model
from utils.errors import RequestError
from utils.files import atomic_write
from utils.pictures import read_png, save_png
from utils.plots import Curve, plot, save_plot

PICTURES = 1000  # a lot, unless --sample_num says otherwise
COLUMNS = 6  # of a grid that has one sampler for all checkpoints
COLUMN_NAMES = {"seconds_a_picture": "s a picture", "network_calls": "calls"}
PERCENT = ("confident",)
# A histogram is no column, and kid_std, the spread over KID's subsets, would be taken for the one over lots.
LEFT_OUT = ("class_histogram", "kid_std")
# The same in every row, or of little use to the eye.
ONLY_CSV = ("inception_score", "pictures", "lots", "cell")


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
) -> list[Path]:
    """A cell for each checkpoint and sampler, measured unless it was before; and what they look like side by side."""
    folder = Path(save_dir).absolute()
    lots = Lots(seed, sample_num or PICTURES, repeats or 1)
    check_alike(models)
    data = ImageDataset(**models[0].settings.data.model_dump())
    judge = Judge(data, models[0].trained.device, lots, extractor, inception_weights)
    cells = [Cell(folder / "compare_cells", model.trained, info, lots) for model in models for info in samplers]
    missing = [cell for cell in cells if not cell.find(judge)]
    last = lots.seed + lots.count * lots.repeats - 1
    print(f"Draws:   {lots.count:,} pictures a cell, {lots.repeats} times, seeds {lots.seed} to {last}")
    print(f"Cells:   {len(cells)}, of which {len(cells) - len(missing)} are there already")
    print(
        f"Output:  {folder / 'compare_'}grid.png, _table.md, _table.csv, _plot.png; {folder / 'compare_cells'}/",
        flush=True,
    )
    if judge.why_not:
        print(f"Note:    no FID and the like: {judge.why_not}")
    total = sum(lots.count * lots.repeats * calls_of(cell.info) for cell in missing)
    with tqdm(total=total, unit="call", unit_scale=True, disable=not missing) as bar:
        for cell in missing:
            bar.set_postfix_str(f"{cell.trained.name} {cell.info}")
            cell.measure(judge, batch_size, bar.update)

    rows = [table_row(cell) for cell in cells]
    real = {"model": f"real: {models[0].settings.data_name}"} | {
        name: (value["mean"], value["std"]) for name, value in judge.data_figures(lots).items() if name not in LEFT_OUT
    }
    sheets = [Sheet(cell.trained.name, family(cell.info), str(cell.info.steps), read_png(cell.sheet)) for cell in cells]
    return [
        save_png(folder / "compare_grid.png", labelled_grid(sheets, COLUMNS)),
        save_text(folder / "compare_table.md", markdown([*rows, real], lots, judge, models[0].trained.weights)),
        save_text(folder / "compare_table.csv", comma_separated([*rows, real])),
        save_plot(folder / "compare_plot.png", quality_plot(cells)),
    ]


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


def calls_of(info: SampleInfo) -> int:
    """The network calls of a picture: HEUN looks twice in every step but the last."""
    return 2 * info.steps - 1 if info.method == "HEUN" else info.steps


def family(info: SampleInfo) -> str:
    """The sampler without its steps: what a row of the grid and a curve of the plot have in common."""
    name = str(info).split("_")
    return " ".join(
        [name[0], *(f"eta {name[2].replace('p', '.')}" for _ in [0] if info.method in ("DDIM", "DPMPP")), *name[3:]]
    )


def table_row(cell: Cell) -> dict:
    """A cell as a row: text, numbers, and (mean, standard deviation or None) of each figure."""
    record = cell.record
    figures = {name: (value["mean"], value["std"]) for name, value in record["figures"].items() if name not in LEFT_OUT}
    row = {"model": record["model"], "sampler": record["key"]["sampler"], **figures}
    costs = {name: record[name] for name in ("network_calls", "seconds_a_picture")}
    return row | costs | {"pictures": cell.lots.count, "lots": cell.lots.repeats, "cell": Path(cell.stem).name}


def markdown(rows: Sequence[dict], lots: Lots, judge: Judge, weights: str) -> str:
    """The table, and the protocol below it."""
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ONLY_CSV))
    lines = [
        "| " + " | ".join(COLUMN_NAMES.get(name, name.replace("_", " ")) for name in names) + " |",
        "|" + "---|" * len(names),
        *("| " + " | ".join(text_of(name, row.get(name, "")) for name in names) + " |" for row in rows),
    ]
    spread = f"; mean ± standard deviation of {lots.repeats} such lots" if lots.repeats > 1 else ", one lot"
    measured = judge.describe()
    by = f"; reference: {measured['reference']}; extractor: {measured['extractor']}" if measured["extractor"] else ""
    said = f"{lots.count:,} pictures a cell, seeds from {lots.seed}{spread}; {weights} weights{by}. Not comparable with papers."
    return "\n".join([*lines, "", said, ""])


def text_of(name: str, value: object) -> str:
    """A value as the table shows it."""
    if isinstance(value, tuple):
        mean, spread = (f"{v:.1%}" if name in PERCENT else f"{v:.3g}" for v in (value[0], value[1] or 0))
        return mean if value[1] is None else f"{mean} ± {spread}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def comma_separated(rows: Sequence[dict]) -> str:
    """The table as CSV, each figure's standard deviation in a column of its own."""
    flat = []
    for row in rows:
        flat.append({})
        for name, value in row.items():
            mean, spread = value if isinstance(value, tuple) else (value, None)
            flat[-1] |= {name: mean} | ({} if spread is None else {f"{name}_std": spread})
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(name for row in flat for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()


def quality_plot(cells: Sequence[Cell]) -> Figure:
    """FID against network calls, a curve a sampler; grain where there is no extractor's figure."""
    figure = "fid" if any("fid" in cell.record["figures"] for cell in cells) else "grain"
    several = len({cell.trained.name for cell in cells}) > 1
    points: dict[str, list[tuple]] = {}
    for cell in cells:
        value = cell.record["figures"][figure]
        label = f"{cell.trained.name}, {family(cell.info)}" if several else family(cell.info)
        points.setdefault(label, []).append((cell.record["network_calls"], value["mean"], value["std"] or 0.0))
    curves = [Curve(label, *(list(column) for column in zip(*sorted(found)))) for label, found in points.items()]
    title = {"fid": "FID (lower is better)", "grain": "grain"}[figure]
    return plot(curves, f"{title} by network calls", "network calls a picture", figure, log_x=True, marked=True)


def save_text(path: Path, text: str) -> Path:
    """Writes a text file; returns `path`."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
