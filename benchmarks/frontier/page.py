"""Writes docs/frontier.md and its plot from the records: python -m benchmarks.frontier.page [--output docs/frontier]

Nothing is drawn or trained here: every number comes from docs/frontier/NAME.json, and every verdict from claims.py.
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.experiments.claims import FAILS, HOLDS, MISSING, OPEN, Judged, judge, judge_all
from benchmarks.experiments.page import claims_table, mean_and_std
from benchmarks.experiments.record import Record, differences
from benchmarks.experiments.study import ROOT, Row
from benchmarks.frontier.figures import DIGEST, Found, curves_of, digest, found, plot, read
from benchmarks.frontier.table import (
    DATA,
    GREY,
    SECTIONS,
    SHIPPED,
    STUDENT,
    STUDY,
    TEACHER,
    TEACHER_SAMPLER,
    TRAINED,
    TUNED,
    TUNED_STEPS,
    VARIANTS,
    Line,
    Times,
    lines_of,
    of_student,
    rows_of,
)
from benchmarks.frontier.text import CHECKPOINTS, CLAIMS, HEAD, STUDENTS, TITLES, TUNING
from diffusion import SampleInfo
from utils.files import atomic_write
from utils.plots import save_plot

COLUMNS = (1, 2, 4, 8, 16, 32, 100, 1000)  # calls: a cell stands in the first that has room for it


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table."""
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]


def short(value: float) -> str:
    """As in 0.0123: three digits that count, without an exponent."""
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.4f}"


def shown(point: Found | None, calls: int, is_best: bool) -> str:
    """As in **0.45 ± 0.012**, with its calls where they are not `calls`."""
    if point is None:
        return MISSING
    text = f"{short(point.mean)} ± {point.sd:.2g}"
    return (f"**{text}**" if is_best else text) + ("" if point.calls == calls else f" ({point.calls})")


def frontier_table(data_name: str, record: Record) -> list[str]:
    """A row a line, a column a number of calls; last what a picture costs."""
    lines = lines_of(data_name)
    places = {(line, column_of(cell.drawing.sampler)): cell for line in lines for cell in line.cells}
    points = {place: found(record, cell, "kid") for place, cell in places.items()}
    columns = [column for column in COLUMNS if any(place[1] == column for place in places)]
    best = {
        column: min((p.mean for (_, c), p in points.items() if c == column and p), default=None) for column in columns
    }

    def cell(line: Line, column: int) -> str:
        point = points.get((line, column))
        return (
            shown(point, column, point is not None and point.mean == best[column]) if (line, column) in places else ""
        )

    rows = [[f"`{line.variant}`", line.solver, *(cell(line, column) for column in columns)] for line in lines]
    rows.append(["seconds a picture", "", *(seconds_in(points, column) for column in columns)])
    return markdown(["", "solver", *(f"{column:,}" for column in columns)], rows)


def column_of(sampler: str) -> int:
    """The column of a sampler: its calls, or the next number of COLUMNS."""
    return next(column for column in COLUMNS if column >= SampleInfo.parse(sampler).network_calls)


def seconds_in(points: dict[tuple[Line, int], Found | None], column: int) -> str:
    """What a picture takes with just so many calls: the median of the cells."""
    seconds = [point.seconds for (_, c), point in points.items() if c == column and point and point.calls == column]
    return short(statistics.median(seconds)) if seconds else ""


def variants_table(records: dict[str, Record | None]) -> list[str]:
    """What each variant changes, and what its trainings took."""

    def taken(data_name: str, variant: str) -> str:
        seconds = list(records[data_name].content["seconds"].get(variant, {}).values())
        return mean_and_std(seconds) or MISSING

    rows = [
        [f"`{name}`", " ".join(f"`{change}`" for change in changes), *(taken(data, name) for data in TRAINED)]
        for name, changes in VARIANTS.items()
    ]
    return markdown(["variant", "settings", *(f"seconds a training, {data}" for data in TRAINED)], rows)


def tuned_table(record: Record) -> list[str]:
    """A row a spacing; KID and Frechet distance at each number of steps."""
    rows = []
    for line in lines_of(TUNED):
        cells = []
        for cell in line.cells:
            kid, fid = (found(record, cell, figure) for figure in ("kid", "fid"))
            cells += [MISSING, ""] if kid is None else [mean_of(kid), mean_of(fid)]
        rows.append([f"`{line.solver}`", *cells])
    return markdown(["timesteps", *(f"{n} calls: {what}" for n in TUNED_STEPS for what in ("KID", "FD"))], rows)


def mean_of(point: Found) -> str:
    """Mean and deviation."""
    return f"{short(point.mean)} ± {point.sd:.2g}"


def students_table(records: dict[str, Record | None]) -> list[str]:
    """The teacher and its student, with what a picture costs, and real pictures."""
    teacher = found(records[TEACHER], lines_of(TEACHER)[0].cells[0], "fid")
    rows = []
    for name in (TEACHER, STUDENT):
        for cell in (cell for line in lines_of(name) for cell in line.cells):
            fid, kid = (found(records[name], cell, figure) for figure in ("fid", "kid"))
            if fid is None:
                rows.append([cell.variant, f"`{cell.drawing.sampler}`", "", MISSING, "", "", ""])
                continue
            times = "" if teacher is None else f"{fid.mean / teacher.mean:.2f}"
            rows.append(
                [
                    cell.variant,
                    f"`{cell.drawing.sampler}`",
                    str(fid.calls),
                    mean_of(fid),
                    times,
                    mean_of(kid),
                    short(fid.seconds),
                ]
            )
    real = (records[TEACHER].content if records[TEACHER] else {}).get("real")
    if real:
        rows.append(["real, held out", "", "", short(real["fid"]), "", short(real["kid"]), ""])
    return markdown(["", "sampler", "calls", "FD", "times the teacher's", "KID", "seconds a picture"], rows)


def judge_times(claim: Times, records: dict[str, Record | None]) -> Judged | None:
    """The verdict on the student; None where one of the two was not measured."""
    student, teacher = records[STUDENT], records[TEACHER]
    first = student and student.values(claim.student, "fid")
    second = teacher and teacher.values(claim.teacher, "fid")
    if not first or not second:
        return None
    return judge([a - claim.factor * b for a, b in zip(first, second)], "less", DATA[STUDENT].margins["fid"])


def times_table(judged: dict[Times, Judged | None]) -> list[str]:
    """A row an aim of the student."""
    rows = []
    for claim, verdict in judged.items():
        second = f"{claim.factor:g} FD of `{claim.teacher.key}`"
        hypothesis = f"less, margin {DATA[STUDENT].margins['fid']:g}: FD of `{claim.student.key}` - {second}"
        cells = ["", "", MISSING]
        if verdict is not None:
            interval = f"{verdict.mean:+.3g} ({verdict.low:+.3g} to {verdict.high:+.3g})"
            cells = [interval, f"{verdict.p:.2g}", f"**{verdict.verdict}**"]
        rows.append([claim.claim, hypothesis, *cells])
    return markdown(["claim", "hypothesis", "difference (interval)", "p", "verdict"], rows)


def judged_table(
    judged: dict[Row, Judged | None], records: dict[str, Record | None], data: str, section: str
) -> list[str]:
    """The study's table of claims, without the column that says whose they are: all are ours."""
    rows = [row for row in judged if (row.data_name, row.section) == (data, section)]
    values = [differences(row, records[row.data_name]) for row in rows]
    members = sum(row.kind == "improves" for row in judged)
    made = claims_table(rows, [judged[row] for row in rows], values, members)
    return [f"|{line.split('|', 2)[2]}" for line in made]


def summary(judged: dict[Row | Times, Judged | None]) -> list[str]:
    """What is decided, and what not: the claims by their verdict."""
    by_verdict: dict[str, list[str]] = {verdict: [] for verdict in (HOLDS, FAILS, OPEN, MISSING)}
    for claim, found_of in judged.items():
        name = TITLES.get(getattr(claim, "data_name", TUNED), "Shipped digits")
        by_verdict[MISSING if found_of is None else found_of.verdict].append(f"{name}, {claim.claim}")
    lines = [f"Of {len(judged)} claims:", ""]
    for verdict, claims in by_verdict.items():
        lines.append(
            f"- **{verdict}**: {len(claims)}" + (f". {'; '.join(claims)}" if claims and verdict != MISSING else "")
        )
    return lines


def page(folder: Path) -> str:
    """The whole page, of the records in `folder`."""
    records, rows = read(folder), rows_of(list(DATA))
    found_all = [(row.kind, row.margin, differences(row, records[row.data_name])) for row in rows]
    judged, times = dict(zip(rows, judge_all(found_all))), {each: judge_times(each, records) for each in of_student()}
    sizes = {name: DATA[name].steps for name in TRAINED}
    lines = [
        HEAD.format(
            trainings=STUDY.trainings, pictures=DATA[GREY].pictures, total=STUDY.trainings * DATA[GREY].pictures
        ),
        *variants_table(records),
        "",
        *summary({**judged, **times}),
        "",
        f"![KID by network calls]({folder.name}/frontier.png)",
    ]
    for name in TRAINED:
        lines += ["", f"## {TITLES[name]}", "", f"{sizes[name]} steps a training, `{' '.join(DATA[name].settings)}`."]
        lines += [machine_line(records[name], folder, name), "", *frontier_table(name, records[name])]
        if (folder / f"{name}.png").is_file():
            lines += ["", f"![a row a formulation, a column a number of DPMPP's steps]({folder.name}/{name}.png)"]
        for section in ("formulation", "calls", "solver"):
            lines += ["", f"### {SECTIONS[section]}", "", *judged_table(judged, records, name, section)]
    lines += ["", CHECKPOINTS.format(checkpoint=SHIPPED), "", TUNING, "", *tuned_table(records[TUNED])]
    lines += ["", *judged_table(judged, records, TUNED, "tuned"), "", STUDENTS.format(sampler=TEACHER_SAMPLER), ""]
    lines += [*students_table(records), "", *times_table(times), "", CLAIMS]
    return "\n".join(lines)


def machine_line(record: Record, folder: Path, name: str) -> str:
    """What was measured on."""
    on = record.content["machine"]
    if not on:
        return "Nothing was measured yet."
    return f"{on['device']}, {on['cpu']}, {on['threads']} of {on['cores']} cores. [All figures]({folder.name}/{name}.json)."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frontier.page", description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "frontier", metavar="DIR")
    folder = parser.parse_args().output
    curves = curves_of(read(folder))
    save_plot(folder / "frontier.png", plot(curves), {DIGEST: digest(curves)})
    path = folder.with_name(f"{folder.name}.md")
    with atomic_write(path) as temporary:
        temporary.write_text(page(folder), encoding="utf-8")
    print(f"Wrote:   {path.absolute()}")


if __name__ == "__main__":
    main()
