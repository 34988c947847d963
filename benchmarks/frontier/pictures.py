"""What the frontier looks like: a row a formulation, a column a number of calls, the first pictures of training 0 in each."""

from pathlib import Path

from benchmarks.experiments.sheets import sheet_path
from benchmarks.frontier.table import VARIANTS, lines_of
from evaluation.sheets import Sheet, labelled_grid
from utils.pictures import read_png, save_png

STEPS = ("1", "2", "4", "8", "32")


def save_pictures(runs: Path, output: Path, data_name: str) -> None:
    """Writes output/DATA_NAME.png, of those that were drawn by DPMPP."""
    sheets = []
    for line in lines_of(data_name):
        for cell in line.cells:
            steps, path = cell.drawing.sampler.split("_")[1], sheet_path(runs, data_name, cell)
            if line.solver == "DPMPP" and steps in STEPS and path.is_file():
                sheets.append(Sheet(line.variant, line.solver, steps, read_png(path)))
    if {sheet.model for sheet in sheets} == set(VARIANTS):
        save_png(output / f"{data_name}.png", labelled_grid(sheets, len(STEPS)))
