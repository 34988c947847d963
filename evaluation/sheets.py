"""Pictures with words at their side: the grid of a comparison, and what is told apart from real pictures."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from evaluation.two_sample import TwoSampleTest
from utils.pictures import grid, near_square

SUREST = 16  # pictures by which drawn ones are told from real ones
SCALE = 2  # small pictures are shown at twice their size
FONT_SIZE = 15
MARGIN = 8


class Sheet(NamedTuple):
    """A cell's pictures, uint8 (C, H, W), and what they were drawn by: a checkpoint, a kind of sampler, its steps."""

    model: str
    sampler: str
    steps: str
    picture: Tensor


def surest_sheet(drawn: Tensor, found: TwoSampleTest, scale: int = 1) -> Tensor:
    """The drawn pictures that are told from real ones most surely, enlarged by `scale`: what gives them away.

    (N, C, H, W) -> (C, ...), uint8.
    """
    surest = drawn[found.surest(SUREST)]
    return grid(surest, near_square(len(surest)), scale=scale)


def labelled_grid(sheets: Sequence[Sheet], columns: int) -> Tensor:
    """The sheets as the seed page's tables: uint8 (3, H, W), black on white.

    One checkpoint: a row a sampler, a column for each number of steps. Several: a row a checkpoint, a column a sampler;
    or, with one sampler for all, one checkpoint after another, at most `columns` in a row.
    """
    samplers = list(dict.fromkeys((sheet.sampler, sheet.steps) for sheet in sheets))
    models = list(dict.fromkeys(sheet.model for sheet in sheets))
    if len(models) == 1:
        steps = sorted({sheet.steps for sheet in sheets}, key=int)
        rows = list(dict.fromkeys(sheet.sampler for sheet in sheets))
        places = {(rows.index(sheet.sampler), steps.index(sheet.steps)): sheet.picture for sheet in sheets}
        return _draw(places, rows, [f"{count} steps" for count in steps], {})
    if len(samplers) > 1:
        places = {(models.index(s.model), samplers.index((s.sampler, s.steps))): s.picture for s in sheets}
        return _draw(places, models, [f"{sampler}, {steps}" for sampler, steps in samplers], {})
    places = {divmod(i, columns): sheet.picture for i, sheet in enumerate(sheets)}
    return _draw(places, [], [], {divmod(i, columns): sheet.model for i, sheet in enumerate(sheets)})


def _draw(places: dict[tuple[int, int], Tensor], rows: list[str], columns: list[str], above: dict) -> Tensor:
    """Pictures at (row, column), with the names of the rows on the left, of the columns on top, or one above each."""
    font = ImageFont.load_default(FONT_SIZE)
    height, width = (SCALE * side for side in next(iter(places.values())).shape[1:])
    line = FONT_SIZE + MARGIN
    left = max([MARGIN, *(int(font.getlength(name)) + 2 * MARGIN for name in rows)])
    width = max([width, *(int(font.getlength(name)) for name in [*columns, *above.values()])])
    top = line if columns else 0
    step_y, step_x = height + MARGIN + (line if above else 0), width + MARGIN
    row_num, column_num = (1 + max(place[axis] for place in places) for axis in (0, 1))
    canvas = Image.new("RGB", (left + column_num * step_x, top + row_num * step_y + MARGIN), "white")
    pen = ImageDraw.Draw(canvas)
    for i, name in enumerate(rows):
        pen.text((MARGIN, top + i * step_y + height // 2), name, "black", font, anchor="lm")
    for i, name in enumerate(columns):
        pen.text((left + i * step_x, MARGIN // 2), name, "black", font)
    for (row, column), picture in places.items():
        x, y = left + column * step_x, top + row * step_y
        if above:
            pen.text((x, y + MARGIN // 2), above[row, column], "black", font)
            y += line
        shown = Image.fromarray(np.ascontiguousarray(picture.expand(3, -1, -1).permute(1, 2, 0).numpy()))
        canvas.paste(shown.resize((SCALE * shown.width, SCALE * shown.height), Image.Resampling.NEAREST), (x, y))
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1)
