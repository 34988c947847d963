"""What is in a set of pictures: how many, of which sizes and colours, classes, duplicates, unreadable ones, mean and std."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from datasets.cache import Decoded
from datasets.decoding import Unreadable, head_of, quiet_pillow
from datasets.picture_set import Pictures, PictureSet
from datasets.shaping import Shaping
from datasets.survey import HEAD_BYTES
from utils.errors import counted, one_line

MOST_HEADS = 20_000  # pictures whose files are looked at for size and colours, evenly spread
MODES = {"L": "grey", "1": "black and white", "P": "palette", "LA": "grey with transparency", "RGBA": "RGB with transparency"}
SHOWN = 5
BLOCK = 4096  # pictures that are in memory at once


class Report(NamedTuple):
    """A set as `python -m datasets` shows it. sizes: (height, width) and modes of `looked_at` files, how many of each; smaller:
    how many of these have fewer pixels than `box`, (height, width), and are enlarged; classes: (name, count) each; duplicates:
    groups of names of pictures that are the same once decoded; mean, std: a channel each, of 0 to 1."""

    picture_num: int
    shape: tuple[int, int, int]
    looked_at: int
    smaller: int
    box: tuple[int, int]
    sizes: Counter[tuple[int, int]]
    modes: Counter[str]
    classes: list[tuple[str, int]]
    duplicates: list[list[str]]
    skipped: list[Unreadable]
    left_out: dict[str, int]
    notes: tuple[str, ...]
    mean: list[float]
    std: list[float]

    def lines(self) -> list[str]:
        """The report in words, without line breaks."""
        channels, height, width = self.shape
        colours = "grey" if channels == 1 else "RGB"
        lines = [f"Pictures:   {self.picture_num:,}, decoded to {height}x{width}, {colours}"]
        lines += [f"            {note}" for note in self.notes]
        lines.append(f"Sizes:      {self._sizes()}")
        lines += [f"Channels:   {shares({MODES.get(mode, mode): number for mode, number in self.modes.items()})}"]
        lines += self._class_lines()
        lines += self._duplicate_lines()
        lines += [f"Unreadable: {counted(len(self.skipped), 'picture') if self.skipped else 'none'}"]
        lines += [f"            {one_line(picture.name)} ({picture.reason})" for picture in self.skipped[:SHOWN]]
        if self.left_out:
            lines.append(f"Left out:   {', '.join(f'{number:,} {kind}' for kind, number in self.left_out.items())}")
        names = ["grey"] if channels == 1 else ["red", "green", "blue"]
        means, stds = (", ".join(f"{name} {value:.3f}" for name, value in zip(names, part)) for part in (self.mean, self.std))
        lines.append(f"Mean:       {means} (0 black, 1 white)")
        lines.append(f"Std:        {stds} (of all values in [-1, 1]: {2 * self.whole_std():.3f}, as diffusion.sigma_data)")
        return lines

    def whole_std(self) -> float:
        """The standard deviation of all values, whichever channel they are of."""
        second = np.mean([std**2 + mean**2 for std, mean in zip(self.std, self.mean)])
        return float(np.sqrt(max(0.0, second - np.mean(self.mean) ** 2)))

    def _sizes(self) -> str:
        if not self.sizes:
            return "none that can be told"
        some = "" if self.looked_at >= self.picture_num else f" (of {self.looked_at:,} that were looked at)"
        text = shares({f"{height}x{width}": number for (height, width), number in self.sizes.items()}) + some
        sides = [min(size) for size in self.sizes.elements()]
        if len(self.sizes) > 1:
            text += f"; shorter side {min(sides)} to {max(sides)}, median {int(np.median(sides))}"
        if self.smaller:
            text += f"; {self.smaller:,} smaller than {self.box[0]}x{self.box[1]}, which are enlarged"
        return text

    def _class_lines(self) -> list[str]:
        if not self.classes:
            return ["Classes:    none"]
        numbers = [number for _, number in self.classes]
        balance = f"{min(numbers):,}{f' to {max(numbers):,}' if max(numbers) > min(numbers) else ''} pictures each"
        width = max(len(name) for name, _ in self.classes)
        rows = [f"            {label:>4}  {name:<{width}}  {number:>9,}" for label, (name, number) in enumerate(self.classes)]
        return [f"Classes:    {len(self.classes)}, {balance}; model.num_classes: {len(self.classes)}", *rows]

    def _duplicate_lines(self) -> list[str]:
        if not self.duplicates:
            return ["Duplicates: none"]
        more = sum(len(group) - 1 for group in self.duplicates)
        lines = [f"Duplicates: {counted(more, 'picture')} more than once, in {counted(len(self.duplicates), 'group')}"]
        for group in self.duplicates[:SHOWN]:
            rest = f" and {len(group) - SHOWN:,} more" if len(group) > SHOWN else ""
            lines.append(f"            {', '.join(map(one_line, group[:SHOWN]))}{rest}")
        return lines


def make_report(pictures: PictureSet, decoded: Decoded, shaping: Shaping) -> Report:
    """The report of a set, decoded: uint8 (N, C, H, W). All pictures are looked at, at most MOST_HEADS of their files."""
    files = pictures.read().pictures
    with warnings.catch_warnings():
        quiet_pillow()
        heads = [head for item in files.some(MOST_HEADS, HEAD_BYTES) if (head := head_of(item)) is not None]
    times = 1 if files.is_encoded else len(files)  # of an array the first is looked at: they are of one size
    classes = []
    if decoded.labels is not None:
        counts = np.bincount(decoded.labels, minlength=len(pictures.class_names))
        classes = [(name, int(number)) for name, number in zip(pictures.class_names, counts)]
    mean, std = mean_and_std(decoded.images)
    return Report(
        len(decoded.images),
        decoded.images.shape[1:],
        len(heads) * times,
        sum(shaping.enlarges(head.height, head.width) for head in heads) * times,
        shaping.box,
        Counter({size: number * times for size, number in Counter((head.height, head.width) for head in heads).items()}),
        Counter({mode: number * times for mode, number in Counter(head.mode for head in heads).items()}),
        classes,
        duplicates_of(decoded, files),
        decoded.skipped,
        dict(pictures.left_out),
        pictures.notes,
        mean,
        std,
    )


def mean_and_std(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, of values from 0 to 1; images: uint8 (N, C, H, W)."""
    counts = np.zeros((images.shape[1], 256), np.int64)  # (C, 256)
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK]
        for channel in range(images.shape[1]):
            counts[channel] += np.bincount(block[:, channel].reshape(-1), minlength=256)
    values, shares_of = np.arange(256) / 255, counts / counts.sum(axis=1, keepdims=True)
    mean = shares_of @ values
    std = np.sqrt((shares_of * (values - mean[:, None]) ** 2).sum(axis=1))
    return mean.tolist(), std.tolist()


def duplicates_of(decoded: Decoded, files: Pictures) -> list[list[str]]:
    """The names of pictures that are the same, value by value, a list for each group, the largest first."""
    groups: dict[bytes, list[int]] = {}
    for row, picture in enumerate(decoded.images):
        groups.setdefault(hashlib.blake2b(picture, digest_size=16).digest(), []).append(row)
    same = sorted((rows for rows in groups.values() if len(rows) > 1), key=len, reverse=True)
    numbers = np.delete(np.arange(len(files)), [picture.number for picture in decoded.skipped])
    return [[files.name(int(numbers[row])) for row in rows] for rows in same]


def shares(counts: dict[str, int]) -> str:
    """`32x32 90 %, 64x64 10 %`: the most frequent ones."""
    total = sum(counts.values())
    most = sorted(counts.items(), key=lambda item: -item[1])
    if len(most) == 1:
        return f"all {most[0][0]}"
    shown = [f"{name} {100 * number / total:.3g} %" for name, number in most[:SHOWN]]
    return ", ".join(shown) + (f" and {len(most) - SHOWN:,} others" if len(most) > SHOWN else "")


def sheet_rows(labels: np.ndarray | None, picture_num: int, class_num: int) -> list[list[int]]:
    """Which pictures a contact sheet shows, row by row: ten of each of at most 20 classes, else a square of 100."""
    if labels is None or not 0 < class_num <= 20:
        chosen = spread_evenly(np.arange(picture_num), 100)
        columns = int(np.ceil(np.sqrt(len(chosen))))
        return [chosen[start : start + columns] for start in range(0, len(chosen), columns)]
    return [spread_evenly(np.flatnonzero(labels == label), 10) for label in range(class_num)]


def spread_evenly(numbers: Sequence[int], count: int) -> list[int]:
    """At most `count` of them, evenly spread."""
    places = np.linspace(0, len(numbers) - 1, min(count, len(numbers))).round().astype(int)
    return [int(numbers[place]) for place in places]
