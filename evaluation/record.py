"""What was measured, with its protocol: the record that a figure is read and trusted by, as JSON, as a table, as CSV.

A record is one cell: a checkpoint drawn from by a sampler. `--test_mode evaluate` writes one, `compare` many.
"""

import csv
import hashlib
import io
import json
import platform
import shlex
import statistics
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from diffusion import SampleInfo
from evaluation import HASH_DIGITS
from sampling.trained import Trained
from utils.files import atomic_write

PERCENT = ("confident", "read_as_asked", "told_apart", "told_apart_low", "told_apart_high")
COLUMN_NAMES = {"seconds_a_picture": "s a picture", "network_calls": "calls", "fid_infinity": "FID infinity"}
# A histogram is no column, and kid_std, over KID's subsets, would be taken for the one over sets of pictures.
LEFT_OUT = ("class_histogram", "kid_std")
# The same in every row, or of little use to the eye.
ONLY_CSV = ("inception_score", "step", "pictures", "repeats", "told_apart_low", "told_apart_high", "cell")

Row = dict[str, str | int | float | tuple[float, float | None]]


def summary(runs: Sequence[dict[str, float | list[int]]]) -> dict[str, Any]:
    """Each figure's mean, standard deviation (None for one run) and values; of the class histograms the sum."""
    found: dict[str, Any] = {}
    for name in runs[0]:
        each = [run[name] for run in runs]
        if name == "class_histogram":
            found[name] = [sum(counts) for counts in zip(*each)]
        else:
            std = statistics.stdev(each) if len(each) > 1 else None
            found[name] = {"mean": statistics.fmean(each), "std": std, "each": each}
    return found


def model_record(trained: Trained) -> dict[str, Any]:
    """Which model, by which command, in what."""
    return {
        "model": trained.name,
        "model_sha256": hashlib.sha256(trained.path.read_bytes()).hexdigest()[:HASH_DIGITS],
        "data_name": trained.data_name,
        "step": trained.step,
        "weights": trained.weights,
        "precision": trained.precision,
        "device": trained.device.type,
        "command": this_command(),
        "versions": {"python": platform.python_version(), **_versions("torch", "torch-fidelity")},
    }


def identity(trained: Trained, info: SampleInfo) -> dict[str, Any]:
    """All that a seed's picture depends on: with any of it changed it is another picture."""
    times = {"timesteps": [t for t, _ in info.pairs_on(trained.diffusion)]} if info.method == "CM" else {}
    return {
        **times,  # of CM others stood for the same string
        "checkpoint": trained.digest[:HASH_DIGITS],
        "weights": trained.weights,
        "sampler": str(info),
        "clip_denoised": trained.diffusion.clip_denoised,
        "precision": trained.precision,
    }


def this_command() -> str:
    """The command that is running, as it would be typed."""
    return shlex.join(["python", *sys.argv])


def _versions(*packages: str) -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


# What makes a record another one, rather than the same one measured again.
IDENTITY = (
    *("model", "checkpoint", "model_sha256", "weights", "sampler", "clip_denoised", "precision", "protocol"),
    "real_pictures",  # see modes.real_data.given_options; not in older records
)


def is_same_request(path: Path, record: dict[str, Any]) -> bool:
    """Whether the file `path` is a record of what `record` is of: the same measured again takes its place."""
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(there, dict) and all(there.get(name) == _plain(record.get(name)) for name in IDENTITY)


def _plain(value: object) -> object:
    """As it comes back out of JSON."""
    return json.loads(json.dumps(value))


def save_json(path: Path, record: dict[str, Any]) -> Path:
    """Writes a record; returns `path`."""
    return save_text(path, json.dumps(record, indent=1) + "\n")


def save_text(path: Path, text: str) -> Path:
    """Writes a text file; returns `path`."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def table_row(record: dict[str, Any]) -> Row:
    """A record as a row: text, numbers, and (mean, standard deviation or None) of each figure."""
    row: Row = {"model": record["model"], "sampler": record["sampler"], **_figures(record["figures"])}
    told = record["told_apart"]
    if told is not None:
        low, high = told["interval"]
        row |= {"told_apart": told["accuracy"], "told_apart_low": low, "told_apart_high": high}
    row |= {name: record[name] for name in ("network_calls", "seconds_a_picture", "step")}
    return row | {name: record["protocol"][name] for name in ("pictures", "repeats")}


def floor_row(records: Sequence[dict[str, Any]]) -> Row:
    """The floor as a row: real pictures. Of the records, which have the same, it is that of one whose classes were read."""
    record = next((each for each in records if "read_as_asked" in each["floor"]["figures"]), records[0])
    floor = record["floor"]
    counts = {name: floor[name] for name in ("pictures", "repeats")}
    return {"model": f"real: {record['data_name']}", "sampler": "", **_figures(floor["figures"]), **counts}


def _figures(figures: dict[str, Any]) -> dict[str, tuple[float, float | None]]:
    return {name: (value["mean"], value["std"]) for name, value in figures.items() if name not in LEFT_OUT}


def markdown(records: Sequence[dict[str, Any]]) -> str:
    """A row for each record, one for real pictures, and the protocol below: all records have the same."""
    rows = [*map(table_row, records), floor_row(records)]
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ONLY_CSV))
    lines = [
        "| " + " | ".join(COLUMN_NAMES.get(name, name.replace("_", " ")) for name in names) + " |",
        "|" + "---|" * len(names),
        *("| " + " | ".join(text_of(name, row) for name in names) + " |" for row in rows),
    ]
    lines += ["", describe_records(records), ""]
    return "\n".join(lines)


def markdown_by_class(record: dict[str, Any]) -> str:
    """A row for each class that was asked for, beside held-out real pictures of it where they are known, and one for all; ""
    where none was asked for, or none can be read."""
    by_class = record["by_class"]
    if not by_class:
        return ""
    is_sure = all("confident" in row for row in by_class.values())
    real = record["floor"].get("by_class")
    heads = ["class asked for", "pictures", "read as it", *(["confident"] if is_sure else [])]
    heads += ["real pictures", "read as it"] if real else []
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    questions = ["read_as_asked", *(["confident"] if is_sure else [])]
    rows = [(name, row, (real or {}).get(name)) for name, row in by_class.items()]
    rows.append(("all", _together(by_class, questions), _together(real, questions[:1]) if real else None))
    for name, row, beside in rows:
        cells = [name, f"{row['pictures']:,}", *(f"{row[question]:.1%}" for question in questions)]
        if real:
            cells += [f"{beside['pictures']:,}", f"{beside['read_as_asked']:.1%}"] if beside else ["0", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _together(by_class: dict[str, dict[str, float]], questions: Sequence[str]) -> dict[str, float]:
    """A row of all classes."""
    total = sum(row["pictures"] for row in by_class.values())
    return {"pictures": total} | {
        question: sum(row["pictures"] * row[question] for row in by_class.values()) / total for question in questions
    }


def text_of(name: str, row: Row) -> str:
    """A value of the row as the table shows it, with its standard deviation or its interval; "" where it has none."""
    value = row.get(name, "")
    if name == "told_apart" and name in row:
        return "{:.1%} ({:.0%} to {:.0%})".format(value, row["told_apart_low"], row["told_apart_high"])
    pattern = "{:.1%}" if name in PERCENT else "{:.3g}"
    if isinstance(value, tuple):
        mean, std = value
        return pattern.format(mean) + ("" if std is None else f" ± {pattern.format(std)}")
    return pattern.format(value) if isinstance(value, float) else str(value)


def describe_records(records: Sequence[dict[str, Any]]) -> str:
    """The protocol of all of them in words, and what reads classes, if not the extractor itself."""
    read_by = next((record["read_by"] for record in records if record.get("read_by")), None)
    return describe(records[0]["protocol"], records[0]["weights"], read_by)


def describe(protocol: dict[str, Any], weights: str, read_by: str | None = None) -> str:
    """The protocol in words; `read_by`: what reads the classes that were asked for, if not the extractor itself."""
    seeds = ", ".join(f"{first} to {last}" for first, last in protocol["seeds"])
    repeats = protocol["repeats"]
    sets = f"mean ± standard deviation of {repeats} sets" if repeats > 1 else "one set"
    said = f"{protocol['pictures']:,} pictures a row, seeds {seeds} ({sets}); {weights} weights"
    said += f"; reference: {protocol['reference']}, {protocol['reference_pictures']:,} pictures"
    said += f"; the floor and what is told apart: {protocol['held_out']}"
    if protocol["extractor"] is None:
        return f"{said}. Not comparable with papers: no extractor."
    said += (
        f"; extractor: {protocol['extractor']}, {protocol['features']} features, sha256 {protocol['extractor_sha256']}"
    )
    if read_by is not None:
        said += f"; read as asked: by {read_by}"
    why_no_fid = fid_left_out(protocol)
    if why_no_fid is not None:
        said += f"; {why_no_fid}"
    if protocol["comparable_with_papers"]:
        return f"{said}. Comparable with papers that use Inception, 50,000 pictures and this reference."
    why = "below 50,000 pictures" if protocol["extractor"] == "inception" else "not Inception's features"
    return f"{said}. Not comparable with papers: {why}."


def fid_left_out(protocol: dict[str, Any]) -> str | None:
    """Why there is no FID, only KID; None where there is one, or no extractor at all."""
    if protocol["extractor"] is None:
        return None
    fewest = min(protocol["pictures"], protocol["reference_pictures"])
    if fewest > protocol["features"]:
        return None
    return f"no FID: {fewest:,} pictures are too few for {protocol['features']:,} features; KID is the figure"


def comma_separated(rows: Sequence[Row]) -> str:
    """The table as CSV, each figure's standard deviation in a column of its own."""
    flat: list[dict[str, str | int | float]] = []
    for row in rows:
        flat.append({})
        for name, value in row.items():
            mean, std = value if isinstance(value, tuple) else (value, None)
            flat[-1] |= {name: mean} | ({} if std is None else {f"{name}_std": std})
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(name for row in flat for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()
