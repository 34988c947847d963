"""What a training is told of its pictures before they are decoded: how many, what is left out, and which are too small."""

import os
import warnings
from typing import NamedTuple

from PIL import Image

from datasets.decode import size_of_file
from datasets.folders import find_root, list_folder
from datasets.shaping import Shaping
from utils.errors import counted

LOOKED_AT = 2000  # pictures of a folder whose heads are read, evenly spread


class Survey(NamedTuple):
    """Of `pictures` training pictures: files of the folder that are left out, by kind; of `looked_at` of the pictures those
    that are smaller than `box`, (height, width), and so would be enlarged."""

    pictures: int
    left_out: dict[str, int]
    looked_at: int
    smaller: int
    box: tuple[int, int]

    def lines(self) -> list[str]:
        """What there is to say, without line breaks: nothing, or a line of each kind."""
        lines = []
        if self.left_out:
            kinds = [f"{number:,} {kind}" for kind, number in self.left_out.items()]
            more = f" and {len(kinds) - 8} kinds more" if len(kinds) > 8 else ""
            lines.append(f"left out: {', '.join(kinds[:8])}{more}")
        if self.smaller:
            looked_at = " that were looked at" if self.looked_at < self.pictures else ""
            size = "x".join(map(str, self.box))
            lines.append(
                f"smaller than {size}, and enlarged: {self.smaller:,} of {counted(self.looked_at, 'picture')}{looked_at}"
            )
        return lines


def survey_folder(data_path: str | None, shaping: Shaping) -> Survey:
    """Of a folder of the user's own. RequestError where there is none."""
    root = find_root(data_path)
    pictures, left_out = list_folder(root)
    some = pictures[:: max(1, -(-len(pictures) // LOOKED_AT))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)
        sizes = [size_of_file(os.path.join(root, name)) for name in some]
    smaller = sum(size is not None and shaping.enlarges(size[1], size[0]) for size in sizes)
    return Survey(len(pictures), dict(left_out.most_common()), len(some), smaller, shaping.box)
