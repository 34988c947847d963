"""What was measured of a model, from the records that `evaluate` and `likelihood` wrote of just this file."""

import hashlib
import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LARGEST_RECORD = 2**22  # bytes
ENDINGS = ("_evaluate.json", "_likelihood.json")
IN_CARD = {"fid": "FID", "fid_infinity": "FID infinity", "kid": "KID", "precision": "precision", "recall": "recall"}


def find_records(weights: Path, folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The records in `folders` that name the SHA-256 of the file `weights`, by path. `table` is the .md beside one, if any."""
    paths = sorted({path for folder in folders for ending in ENDINGS for path in folder.glob(f"*{ending}")})
    records = [(path, record) for path in paths if (record := _read(path)) is not None]
    if not records or not weights.is_file():
        return []
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return [
        record | {"table": _table(path)}
        for path, record in records
        if len(record["model_sha256"]) >= 8 and digest.startswith(record["model_sha256"])
    ]


def _read(path: Path) -> dict[str, Any] | None:
    """A record, or None if the file is none."""
    try:
        if path.stat().st_size > LARGEST_RECORD:
            return None
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if _is_whole(record) else None


def _is_whole(record: object) -> bool:
    """Whether it is a record, with numbers where a card shows numbers."""
    if not isinstance(record, dict) or not isinstance(record.get("model_sha256"), str):
        return False
    if not isinstance(record.get("protocol"), dict):
        return False
    if isinstance(bits := record.get("bits_per_dimension"), dict):
        return _is_number(bits) and (bits.get("standard_error") is None or type(bits["standard_error"]) in (int, float))
    figures = record.get("figures")
    return isinstance(figures, dict) and all(_is_number(figures[name]) for name in IN_CARD if name in figures)


def _is_number(value: object) -> bool:
    return isinstance(value, dict) and type(value.get("mean")) in (int, float)


def _table(path: Path) -> str | None:
    table = path.with_suffix(".md")
    return table.read_text(encoding="utf-8").strip() if table.is_file() else None


def lines_of(record: dict[str, Any]) -> list[str]:
    """A record for people: its table, with the protocol below, or a sentence; then the command."""
    if "bits_per_dimension" in record:
        bits, protocol = record["bits_per_dimension"], record["protocol"]
        error = "" if bits.get("standard_error") is None else f" ± {bits['standard_error']:.3f} (standard error)"
        shown = f"At most {bits['mean']:.3f}{error} bits a dimension: {protocol.get('pictures')} pictures of "
        shown += f"{protocol.get('data')}, {protocol.get('split')} split, by the variational bound."
    else:
        shown = record["table"] or f"By `{record.get('sampler')}`: {_plain_figures(record)}."
    return [shown, "", f"Measured by `{_without_folders(str(record.get('command')))}`", ""]


def _without_folders(command: str) -> str:
    """The command with absolute paths cut to their names: of the machine's own folders nothing is told."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation without its end
        words = command.split()
    return shlex.join([Path(word).name if os.path.isabs(word) else word for word in words]).replace("`", "'")


def _plain_figures(record: dict[str, Any]) -> str:
    figures = {name: record["figures"][name] for name in IN_CARD if name in record["figures"]}
    return ", ".join(f"{IN_CARD[name]} {value['mean']:.3g}" for name, value in figures.items())


def model_index(name: str, records: Sequence[dict[str, Any]], data: str, hub_data: str) -> list[dict[str, Any]]:
    """The same for the Hub: the `model-index` of a card's head. `data`, `hub_data`: the data's name, here and on the Hub."""
    results = []
    for record in records:
        protocol, metrics = record["protocol"], []
        if "bits_per_dimension" in record:
            how = f"{protocol.get('pictures')} pictures, variational bound"
            metrics.append(_metric("bits_per_dimension", f"bits a dimension, at most ({how})", record["bits_per_dimension"]))
        for figure in IN_CARD:
            if figure in record.get("figures", {}):
                how = f"{record.get('sampler')}, {protocol.get('pictures')} pictures, extractor {protocol.get('extractor')}"
                metrics.append(_metric(figure, f"{IN_CARD[figure]} ({how})", record["figures"][figure]))
        if metrics:
            results.append(
                {
                    "task": {"type": "unconditional-image-generation", "name": "Unconditional image generation"},
                    "dataset": {"type": hub_data, "name": data},
                    "metrics": metrics,
                }
            )
    return [{"name": name, "results": results}] if results else []


def _metric(kind: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "name": name, "value": round(float(value["mean"]), 5)}
