"""Writes the tables of benchmarks/README.md and of docs/ (recipe, results, students) from benchmarks/results/*.json.

    python benchmarks/tables.py            # --check only says whether they are up to date

A table stands between `<!-- NAME.json -->` and `<!-- end -->`; between `<!-- verdicts NAME.json -->` and `<!-- end -->`
the verdicts of an ablation.
"""

import argparse
import json
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # run as a program, it sees the project's folders

from benchmarks.paired import ablation_table, verdict_list  # noqa: E402

PAGES = (
    FOLDER / "README.md",
    *(FOLDER.parent / "docs" / f"{name}{twin}.md" for name in ("recipe", "results", "students") for twin in ("", "_zh")),
)
PLACE = re.compile(r"(<!-- (verdicts )?(\S+\.json) -->\n).*?(<!-- end -->)", re.DOTALL)
HIDDEN = ("batch", "class_histogram")


def shown(value: object) -> str:
    """A cell: three digits of a number, thousands apart."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(result: dict) -> str:
    """Markdown: the rows of a result, then what they were measured by and on."""
    rows, machine = result["rows"], result["machine"]
    names = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in HIDDEN]
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(shown(row.get(name)) for name in names) + " |" for row in rows]
    also = {key: value for key, value in result.items() if key not in ("rows", "machine", "command", "date", "clock")}
    extra = "".join(f"; {key.replace('_', ' ')} {shown(value)}" for key, value in also.items())
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    clock = "the process's own processor seconds" if result["clock"] == "cpu" else "wall clock"
    lines += [
        "",
        f"`{result['command']}`, {result['date']}, {clock}{extra}. {machine['device']}: {machine['cpu']}, "
        f"{machine['threads']} of {machine['cores']} cores, load {machine['load']}; {versions}.",
    ]
    return "\n".join(lines)


def updated(text: str) -> str:
    """A page with its tables made anew. FileNotFoundError where a table has no result."""

    def fill(match: re.Match) -> str:
        result = json.loads((FOLDER / "results" / match[3]).read_text())
        if match[2]:
            made = verdict_list(result)
        else:
            made = ablation_table(result) if "margins" in result else table(result)
        return f"{match[1]}{made}\n{match[4]}"

    return PLACE.sub(fill, text)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--check", action="store_true", help="change nothing; status 1 if a table is out of date")
    args = options.parse_args()
    before = {path: path.read_text(encoding="utf-8") for path in PAGES}
    after = {path: updated(text) for path, text in before.items()}
    if not args.check:
        for path, text in after.items():
            path.write_text(text, encoding="utf-8")
    return int(args.check and after != before)


if __name__ == "__main__":
    sys.exit(main())
