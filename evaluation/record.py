"""What was measured, with its protocol: the record that a figure is read and trusted by, as JSON and as a table."""

import hashlib
import json
import platform
import shlex
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch_fidelity

from diffusion import SampleInfo
from evaluation.extractor import HASH_DIGITS, Extractor
from evaluation.measures import PAPERS_PICTURES, Figures, Floor
from sampling.trained import Trained
from utils.files import atomic_write

SHOWN = ("fid", "kid", "precision", "recall", "inception_score", "confident")  # the columns of the table


def summary(runs: Sequence[Figures]) -> dict[str, Any]:
    """Each figure's mean, standard deviation (None for one run) and values; of the class histograms the sum."""
    found: dict[str, Any] = {}
    for name in runs[0]:
        each = [run[name] for run in runs]
        if name == "class_histogram":
            found[name] = [sum(counts) for counts in zip(*each)]
        else:
            spread = statistics.stdev(each) if len(each) > 1 else None
            found[name] = {"mean": statistics.fmean(each), "std": spread, "each": each}
    return found


def model_record(trained: Trained, info: SampleInfo | None) -> dict[str, Any]:
    """Which model, drawn from how, by which command, in what."""
    return {
        "model": trained.name,
        "model_sha256": hashlib.sha256(trained.path.read_bytes()).hexdigest()[:HASH_DIGITS],
        "data_name": trained.data_name,
        "step": trained.step,
        "weights": trained.weights,
        **({} if info is None else {"sampler": str(info)}),
        "precision": trained.precision,
        "device": trained.device.type,
        "command": shlex.join(["python", *sys.argv]),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torch-fidelity": torch_fidelity.__version__,
        },
    }


def protocol(
    *, count: int, seed: int, repeats: int, reference: str, reference_count: int, extractor: Extractor
) -> dict[str, Any]:
    """All that a figure depends on beside the model and its sampler."""
    return {
        "pictures": count,
        "seeds": [[seed + r * count, seed + (r + 1) * count - 1] for r in range(repeats)],
        "repeats": repeats,
        "reference": reference,
        "reference_pictures": reference_count,
        "extractor": extractor.name,
        "extractor_sha256": extractor.hash,
        "features": extractor.dimension,
        "comparable_with_papers": extractor.name == "inception" and count >= PAPERS_PICTURES,
    }


def floor_record(floors: Sequence[Floor]) -> dict[str, Any]:
    """The floor's figures, and what they are of."""
    first = floors[0]
    return {
        "pictures": first.pictures,
        "held_out": first.held_out,
        "beside": first.beside,
        "repeats": len(floors),
        "figures": summary([floor.figures for floor in floors]),
    }


def save_json(path: Path, record: dict[str, Any]) -> Path:
    """Writes a record; returns `path`."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path


def save_table(path: Path, record: dict[str, Any]) -> Path:
    """The record of an evaluation as markdown, for people; returns `path`."""
    with atomic_write(path) as temporary:
        temporary.write_text(table(record), encoding="utf-8")
    return path


def table(record: dict[str, Any]) -> str:
    """Markdown: a row for the drawn pictures, one for the floor, and the protocol below."""
    used, floor = record["protocol"], record["floor"]
    names = [name for name in SHOWN if name in record["figures"]]
    rows = [
        f"| | pictures | {' | '.join(name.replace('_', ' ') for name in names)} |",
        "|" + "---|" * (len(names) + 2),
        _row(f"{record['model']} at {record['sampler']}", used["pictures"], record["figures"], names),
    ]
    if floor is not None:
        rows.append(_row(f"floor: {floor['held_out']}", floor["pictures"], floor["figures"], names))
    return "\n".join([*rows, "", describe(record), ""])


def describe(record: dict[str, Any]) -> str:
    """The protocol in words."""
    used = record["protocol"]
    seeds = ", ".join(f"{first} to {last}" for first, last in used["seeds"])
    if not used["comparable_with_papers"]:
        why = "below 50,000 pictures" if used["extractor"] == "inception" else "not Inception's features"
        note = f"Not comparable with papers: {why}."
    else:
        note = "Comparable with papers that use Inception, 50,000 pictures and this reference."
    spread = f"mean ± standard deviation of {used['repeats']}" if used["repeats"] > 1 else "no repeats"
    return (
        f"{used['pictures']:,} pictures, seeds {seeds} ({spread}); {record['weights']} weights, step {record['step']:,}, "
        f"{record['sampler']}; reference: {used['reference']}, {used['reference_pictures']:,} pictures; "
        f"extractor: {used['extractor']}, {used['features']} features, sha256 {used['extractor_sha256']}. {note}"
    )


def _row(name: str, count: int, figures: dict[str, Any], names: Sequence[str]) -> str:
    cells = []
    for figure in names:
        mean, std = figures[figure]["mean"], figures[figure]["std"]
        shown = f"{mean:.1%}" if figure == "confident" else f"{mean:.4g}"
        if std is not None:
            shown += f" ± {std:.1%}" if figure == "confident" else f" ± {std:.2g}"
        cells.append(shown)
    return f"| {name} | {count:,} | {' | '.join(cells)} |"
