"""Writes the tables and numbers of the READMEs (checkpoints/, too) and docs/*.md from the records that the programs left:

    python -m benchmarks.readme_tables

A table stands between a comment and `<!-- end -->`; what was there before is replaced. The comment says which table, of which
records:

    <!-- from docs/A.json docs/B.json -->                 all figures, a row a record
    <!-- by class from docs/A.json -->                    a row a class that was asked for, and one for all
    <!-- same seeds from docs/A.json docs/B.json -->      the mean FID of the seeds that all have, beside the last record's
    <!-- interpolation from docs/experiments/NAME.json -->     the study's interpolations

Numbers in sentences and in tables that are written by hand are named in readme_numbers.py. So two pages never say different
things of one record: tests/benchmarks/test_readme_tables.py runs this, too.
"""

import json
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.readme_numbers import NUMBERS, Number
from evaluation.record import markdown, markdown_by_class

ROOT = Path(__file__).resolve().parents[1]
DOCS = tuple(f"docs/{path.name}" for path in sorted(ROOT.glob("docs/*.md")))
PAGES = ("README.md", "README_zh.md", "checkpoints/README.md", *DOCS)
TABLE = re.compile(r"(<!-- (by class |same seeds |interpolation )?from ([^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, name: str = "") -> str:
    """The text of the page `name` with every table and number made anew from its record.

    ValueError if a number of readme_numbers.py is not found, or in two places: its sentence was written anew.
    """

    def table(found: re.Match[str]) -> str:
        records = [read(name) for name in found[3].split()]
        match (found[2] or "").strip():
            case "by class":
                made = "\n".join(map(markdown_by_class, records))
            case "same seeds":
                made = same_seeds(records)
            case "interpolation":
                made = interpolation_table(*records)
            case _:
                made = markdown(records)
        return f"{found[1]}{made}{found[4]}"

    page = TABLE.sub(table, page)
    for number in NUMBERS:
        if number.page == name:
            found = list(re.finditer(number.place, page))
            if len(found) != 1:
                raise ValueError(f"{name} has {len(found)} places for {number.place!r}, a number of readme_numbers.py")
            page = page[: found[0].start(1)] + text_of(number) + page[found[0].end(1) :]
    return page


def read(name: str) -> dict:
    """A record."""
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


def text_of(number: Number) -> str:
    """As the page shows it: 0.21 ± 0.11, or 95 %."""
    value = read(number.record)
    for word in number.key.split("."):
        value = next(row for row in value if word in row.values()) if isinstance(value, list) else value[word]
    parts = [value]
    if isinstance(value, dict):
        error = value["standard_error"] if "standard_error" in value else value["std"]
        parts = [value["mean"]] + ([] if error is None else [error])
    return " ± ".join(format(part, number.pattern) for part in parts).replace("%", " %")


def interpolation_table(record: dict) -> str:
    """Markdown: how evenly the study's interpolations change, mean and standard deviation over the trainings."""
    lines = ["| drawn by | trainings | mean change | largest | largest over mean |", "|---|---|---|---|---|"]
    for key, trainings in record["cells"].items():
        runs = list(trainings.values())
        if "jump" in runs[0]:
            of = [[run[name] for run in runs] for name in ("mean_change", "largest_change", "jump")]
            shown = [
                f"{statistics.fmean(each):.3f}" + (f" ± {statistics.stdev(each):.3f}" if len(each) > 1 else "")
                for each in of
            ]
            lines.append(f"| `{key.split(', ')[1]}` | {len(runs)} | {' | '.join(shown)} |")
    return "\n".join(lines if len(lines) > 2 else ["Not yet measured: `bash run_experiments.sh`."]) + "\n"


def same_seeds(records: Sequence[dict[str, Any]]) -> str:
    """Markdown: the mean FID of the first sets of pictures, as many as all records have, and how many times the last record's
    it is.

    ValueError unless these sets are of the same seeds, measured alike.
    """
    sets = min(record["protocol"]["repeats"] for record in records)
    firsts = [record["protocol"] | {"seeds": record["protocol"]["seeds"][:sets], "repeats": sets} for record in records]
    if any(first != firsts[-1] for first in firsts):
        raise ValueError(f"the first sets of {[record['sampler'] for record in records]} are not measured alike")
    fids = [statistics.mean(record["figures"]["fid"]["each"][:sets]) for record in records]
    (low, _), (_, high) = firsts[-1]["seeds"][0], firsts[-1]["seeds"][-1]
    of = f"seeds {low} to {high}" + (f" in {sets} sets" if sets > 1 else "")
    lines = [f"| sampler | calls | fid, {of} | times that of {records[-1]['sampler']} |", "|---|---|---|---|"]
    for record, fid in zip(records, fids):
        lines.append(f"| {record['sampler']} | {record['network_calls']:,} | {fid:.3g} | {fid / fids[-1]:.2f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Rewrites the pages, and says which of them changed."""
    for name in PAGES:
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = filled(before, name)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"Wrote: {path}")


if __name__ == "__main__":
    main()
