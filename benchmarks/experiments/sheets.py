"""What the cells look like, side by side: the first pictures of training 0, a grid a section of the page."""

from pathlib import Path

from torch import Tensor

from benchmarks.experiments.cells import Cell
from benchmarks.experiments.study import cells_of
from benchmarks.experiments.table import SECTIONS, rows_of
from diffusion import SampleInfo
from evaluation.sheets import Sheet, labelled_grid
from utils.pictures import grid, near_square, read_png, save_png

COLUMNS = 4
PAIRS_SHOWN = 6


def sheet_path(runs: Path, data_name: str, cell: Cell) -> Path:
    """The first pictures of a cell's training 0."""
    return runs / data_name / "sheets" / f"{cell.key}.png"


def save_sheet(runs: Path, data_name: str, cell: Cell, pictures: Tensor) -> None:
    """Keeps the first pictures of training 0, uint8 (N, C, H, W); of an interpolation a column a pair."""
    columns = near_square(len(pictures)) if cell.drawing.is_drawn else PAIRS_SHOWN
    save_png(sheet_path(runs, data_name, cell), grid(pictures, columns))


def save_sheets(runs: Path, output: Path, data_name: str) -> None:
    """The grids of those sections whose cells' pictures are all there: those measured in another folder have theirs there."""
    for section in SECTIONS:
        cells = cells_of([row for row in rows_of([data_name]) if row.section == section])
        if section == "samplers":
            cells = [cell for cell in cells if cell.drawing.is_drawn]
        paths = [sheet_path(runs, data_name, cell) for cell in cells]
        if paths and all(path.is_file() for path in paths):
            sheets = [sheet_of(cell, read_png(path), section) for cell, path in zip(cells, paths)]
            save_png(output / f"{data_name}_{section}.png", labelled_grid(sheets, COLUMNS))


def sheet_of(cell: Cell, picture: Tensor, section: str) -> Sheet:
    """Labelled by what the section compares: samplers and steps in rows and columns, else one cell after the other."""
    info = SampleInfo.parse(cell.drawing.sampler)
    if section == "samplers":
        return Sheet(
            cell.variant,
            "one-step posterior" if cell.drawing.way == "one_step" else info.label,
            str(info.steps),
            picture,
        )
    name = cell.variant if cell.drawing.is_drawn else f"{cell.drawing.way}, {info}"
    return Sheet(" ".join([name, *cell.drawing.otherwise]), "", "1", picture)
