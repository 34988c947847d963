"""What a training is told of its pictures before they are decoded: how many, what is left out, and which are too small."""

import warnings
from typing import NamedTuple

from datasets.decoding import head_of, quiet_pillow
from datasets.picture_set import PictureSet
from datasets.shaping import Shaping
from utils.errors import counted

LOOKED_AT = 2000  # pictures whose heads are read, evenly spread
HEAD_BYTES = 2**18  # of a file, where they are copied: enough for the thumbnail and the colour profile before a JPEG's size


class Survey(NamedTuple):
    """Of `pictures` training pictures: files beside them that are left out, by kind; of `looked_at` of the pictures those
    that are smaller than `box`, (height, width), and so would be enlarged; and what else is to be said of the files."""

    pictures: int
    left_out: dict[str, int]
    looked_at: int
    smaller: int
    box: tuple[int, int]
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What there is to say, without line breaks: nothing, or a line of each kind."""
        lines = list(self.notes)
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


def survey_pictures(pictures: PictureSet, shaping: Shaping) -> Survey:
    """Of pictures of the user's own."""
    files = pictures.read().pictures
    with warnings.catch_warnings():
        quiet_pillow()
        heads = [head_of(item) for item in files.some(LOOKED_AT, HEAD_BYTES)]
    smaller = sum(head is not None and shaping.enlarges(head.height, head.width) for head in heads)
    looked_at, picture_num = len(heads), pictures.picture_num
    if not files.is_encoded:  # an array, of which the first is looked at: they are of one size
        looked_at, smaller = picture_num, smaller * picture_num
    return Survey(picture_num, dict(pictures.left_out), looked_at, smaller, shaping.box, pictures.notes)
