"""Writes the tables of README.md, README_zh.md and docs/*.md from the records that test_solver.py left:

    python -m benchmarks.readme_tables

A table stands between a comment and `<!-- end -->`; what was there before is replaced. The comment says which table, of which
records:

    <!-- from docs/A.json docs/B.json -->                 all figures, a row a record
    <!-- by class from docs/A.json -->                    a row a class that was asked for, and one for all
    <!-- same seeds from docs/A.json docs/B.json -->      the FID of the seeds that all have, beside the last record's

So a page and a record never say different things: tests/benchmarks/test_readme_tables.py runs this, too.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.record import markdown, markdown_by_class

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "README_zh.md", *(f"docs/{path.name}" for path in sorted(ROOT.glob("docs/*.md"))))
TABLE = re.compile(r"(<!-- (by class |same seeds )?from ([^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """The text of a page with every table made anew from its records."""

    def table(found: re.Match[str]) -> str:
        records = [json.loads((ROOT / name).read_text(encoding="utf-8")) for name in found[3].split()]
        match (found[2] or "").strip():
            case "by class":
                made = "\n".join(map(class_table, records))
            case "same seeds":
                made = same_seeds(records)
            case _:
                made = markdown(records)
        return f"{found[1]}{made}{found[4]}"

    return TABLE.sub(table, page)


def class_table(record: dict[str, Any]) -> str:
    """Markdown: a row a class that was asked for, and one for all of them."""
    read, sure = (record["figures"][name]["mean"] for name in ("read_as_asked", "confident"))
    count = sum(row["pictures"] for row in record["by_class"].values())
    return f"{markdown_by_class(record)}| all | {count:,} | {read:.1%} | {sure:.1%} |\n"


def same_seeds(records: Sequence[dict[str, Any]]) -> str:
    """Markdown: the FID of each record's first set of pictures, and how many times the last record's it is.

    ValueError unless these sets are of the same seeds, measured alike.
    """
    firsts = [record["protocol"] | {"seeds": record["protocol"]["seeds"][0], "repeats": 1} for record in records]
    if any(first != firsts[-1] for first in firsts):
        raise ValueError(f"the first sets of {[record['sampler'] for record in records]} are not measured alike")
    base = records[-1]["figures"]["fid"]["each"][0]
    low, high = firsts[-1]["seeds"]
    lines = [f"| sampler | calls | fid, seeds {low} to {high} | times that of {records[-1]['sampler']} |", "|---|---|---|---|"]
    for record in records:
        fid = record["figures"]["fid"]["each"][0]
        lines.append(f"| {record['sampler']} | {record['network_calls']:,} | {fid:.3g} | {fid / base:.2f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Rewrites the pages, and says which of them changed."""
    for name in PAGES:
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"Wrote: {path}")


if __name__ == "__main__":
    main()
