"""What a training prints before it begins: what it will do, on what, and where that will be found."""

import os
from collections.abc import Sequence
from pathlib import Path

from training.progress import PreviewPlan, duration
from utils.errors import counted
from utils.version import VERSION


def plan_lines(
    *,
    data_name: str,
    picture_num: int,
    shape: tuple[int, int, int],
    survey: Sequence[str],
    parameter_num: int,
    where: str,
    batch_size: int,
    total_steps: int,
    processes: int,
    previews: PreviewPlan,
    folder: Path,
) -> list[str]:
    """The lines of the plan. shape: (C, H, W) of the pictures; survey: what was left out; where: device and precision."""
    channels, height, width = shape
    colours = "grey" if channels == 1 else "RGB"
    shared = f", shared by {processes} processes" if processes > 1 else ""
    return [
        f"Version: {VERSION}",
        f"Data:    {data_name}, {counted(picture_num, 'picture')}, {height}x{width}, {colours}",
        *(f"         {line}" for line in survey),
        f"Network: {parameter_num:,} parameters, on {where}",
        f"Steps:   {picture_num / batch_size:,.1f} an epoch, {total_steps:,} in all, {batch_size} pictures each{shared}",
        f"Preview: {first_preview(previews, total_steps)}; how long all takes is said after the first steps",
        f"Output:  {folder}{os.sep}",
    ]


def first_preview(previews: PreviewPlan, total_steps: int) -> str:
    """When the first pictures are drawn, in words."""
    steps = f"after {counted(min(previews.every, total_steps), 'step')}"
    if previews.first_seconds is None:
        return f"the first pictures {steps}"
    return f"the first pictures {steps} or {duration(previews.first_seconds)}, whichever comes first"
