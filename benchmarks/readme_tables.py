"""Writes the tables of README.md, README_zh.md and docs/*.md from the records that test_solver.py left:

    python -m benchmarks.readme_tables

A table stands between `<!-- from docs/A_evaluate.json docs/B_evaluate.json -->` and `<!-- end -->`; what was there before
is replaced. So a page and a record never say different things: tests/benchmarks/test_readme_tables.py runs this, too.
"""

import json
import re
from pathlib import Path

from evaluation.record import markdown

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "README_zh.md", *(f"docs/{path.name}" for path in sorted(ROOT.glob("docs/*.md"))))
TABLE = re.compile(r"(<!-- from ([^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """The text of a page with every table made anew from its records."""

    def table(match: re.Match[str]) -> str:
        records = [json.loads((ROOT / name).read_text(encoding="utf-8")) for name in match[2].split()]
        return f"{match[1]}{markdown(records)}{match[3]}"

    return TABLE.sub(table, page)


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
