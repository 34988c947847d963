"""Writes docs/frontier.md, docs/frontier_zh.md and their plot from the records.

    python -m benchmarks.frontier.page [--output docs/frontier]

Nothing is drawn or trained here: every number comes from docs/frontier/NAME.json, and every verdict from claims.py.
"""

import argparse
from pathlib import Path

from benchmarks.experiments.claims import FAILS, HOLDS, MISSING, OPEN, Judged, judge_all
from benchmarks.experiments.record import Record
from benchmarks.experiments.study import ROOT, Row
from benchmarks.frontier import text, text_zh
from benchmarks.frontier.figures import differences_of, excess_of, read
from benchmarks.frontier.plot import DIGEST, digest, panels_of, plot
from benchmarks.frontier.table import (
    BOUND,
    COLOUR,
    DATA,
    GREY,
    SECTIONS,
    SHIPPED,
    STUDENT,
    STUDY,
    TEACHER,
    TRAINED,
    TUNED,
    Times,
    of_student,
    rows_of,
    teacher_sampler,
)
from benchmarks.frontier.tables import (
    frontier_table,
    judged_table,
    last_gain,
    last_steps,
    students_table,
    times_table,
    tuned_table,
    variants_table,
)
from utils.files import atomic_write
from utils.plots import save_plot


def judge_claims(records: dict[str, Record | None]) -> tuple[dict[Row, Judged | None], dict[Times, Judged | None]]:
    """All claims with their verdicts; None where something was not measured yet."""
    rows = rows_of(list(DATA))
    judged = judge_all([(row.kind, row.margin, differences_of(row, records)) for row in rows])
    times = of_student()
    bounds = judge_all([(*BOUND, excess_of(claim, records)) for claim in times])
    return dict(zip(rows, judged)), dict(zip(times, bounds))


def by_verdict(judged: dict[Row | Times, Judged | None]) -> dict[str, list[str]]:
    """The claims of each verdict."""
    claims: dict[str, list[str]] = {verdict: [] for verdict in (HOLDS, FAILS, OPEN, MISSING)}
    for claim, found in judged.items():
        name = text.TITLES.get(getattr(claim, "data_name", TUNED), "Shipped digits")
        claims[MISSING if found is None else found.verdict].append(f"{name}, {claim.claim}")
    return claims


def page(folder: Path) -> str:
    """The whole page, of the records in `folder`."""
    records = read(folder)
    judged, times = judge_claims(records)
    claims = by_verdict({**judged, **times})
    lines = [text.HEAD.format(**facts(records)), *variants_table(records), "", f"Of {len(judged) + len(times)} claims:", ""]
    for verdict, some in claims.items():
        listed = f". {'; '.join(some)}" if some and verdict != MISSING else ""
        lines.append(f"- **{verdict}**: {len(some)}{listed}")
    lines += ["", f"![KID and FD by network calls]({folder.name}/frontier.png)", "", text.PLOT]
    for name in TRAINED:
        lines += ["", f"## {text.TITLES[name]}", "", *measured_lines(records[name], folder, name)]
        for section in ("formulation", "calls", "solver"):
            lines += ["", f"### {SECTIONS[section]}", "", *judged_table(judged, records, name, section)]
    lines += ["", text.CHECKPOINTS.format(checkpoint=SHIPPED), "", text.TUNING, "", *tuned_table(records[TUNED])]
    lines += [
        "",
        *judged_table(judged, records, TUNED, "tuned"),
        "",
        text.STUDENTS.format(sampler=teacher_sampler()),
        "",
    ]
    lines += [*students_table(records), "", *drawn_on(records, folder), "", *times_table(times, records), "", text.CLAIMS]
    return "\n".join(lines)


def page_zh(folder: Path) -> str:
    """The same in Chinese, without the tables of claims: of them the counts."""
    records = read(folder)
    judged, times = judge_claims(records)
    claims = by_verdict({**judged, **times})
    counts = "；".join(f"{verdict} {len(some)}" for verdict, some in claims.items())
    lines = [text_zh.HEAD.format(**facts(records)), *variants_table(records), ""]
    lines += [f"{len(judged) + len(times)} 个命题：{counts}。", "", f"![KID、FD]({folder.name}/frontier.png)", "", text_zh.PLOT]
    for name in TRAINED:
        lines += ["", f"## {text_zh.TITLES[name]}", "", *measured_lines(records[name], folder, name)]
    lines += ["", text_zh.CHECKPOINTS.format(checkpoint=SHIPPED), "", text_zh.TUNING, "", *tuned_table(records[TUNED])]
    lines += ["", text_zh.STUDENTS.format(sampler=teacher_sampler()), "", *students_table(records), ""]
    lines += [*drawn_on(records, folder), "", text_zh.CLAIMS]
    made = "\n".join(lines)
    for english, chinese in text_zh.WORDS.items():
        made = made.replace(english, chinese)
    return made


def facts(records: dict[str, Record | None]) -> dict[str, int | str]:
    """What the head of the page says in numbers."""
    pictures = DATA[GREY].pictures
    made = {"trainings": STUDY.trainings, "pictures": pictures, "total": STUDY.trainings * pictures}
    for name, of in {"grey": GREY, "colour": COLOUR}.items():
        before, last = last_steps(of)
        made[f"{name}_calls"], made[f"{name}_steps"] = last, f"{before:,} → {last:,}"
        made[f"{name}_last"] = last_gain(of, records[of])
    return made


def measured_lines(record: Record, folder: Path, name: str) -> list[str]:
    """The length of a training, what was measured on, the table of figures, and pictures."""
    lines = [f"{DATA[name].steps} steps a training, `{' '.join(DATA[name].settings)}`."]
    lines += [machine_line(record, folder, name), "", *frontier_table(name, record)]
    if (folder / f"{name}.png").is_file():
        lines += ["", f"![DPMPP_1, 2, 4, 8, 32]({folder.name}/{name}.png)"]
    return lines


def machine_line(record: Record, folder: Path, name: str) -> str:
    """What was measured on."""
    on = record.content["machine"]
    if not on:
        return "Nothing was measured yet."
    return f"{on['device']}, {on['cpu']}, {on['threads']} of {on['cores']} cores. [All figures]({folder.name}/{name}.json)."


def drawn_on(records: dict[str, Record | None], folder: Path) -> list[str]:
    """What the student and its teacher were drawn on."""
    return [machine_line(record, folder, name) for name in (TEACHER, STUDENT) if (record := records[name]) is not None]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frontier.page", description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "frontier", metavar="DIR")
    folder = parser.parse_args().output
    panels = panels_of(read(folder))
    save_plot(folder / "frontier.png", plot(panels), {DIGEST: digest(panels)})
    for ending, made in {"": page(folder), "_zh": page_zh(folder)}.items():
        path = folder.with_name(f"{folder.name}{ending}.md")
        with atomic_write(path) as temporary:
            temporary.write_text(made, encoding="utf-8")
        print(f"Wrote:   {path.absolute()}")


if __name__ == "__main__":
    main()
