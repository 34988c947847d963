"""The tables of docs/frontier.md, from its records: Markdown, a list of lines each."""

import statistics
from collections.abc import Sequence

from benchmarks.experiments.claims import MISSING, Judged
from benchmarks.experiments.page import claims_table, mean_and_std, power_of
from benchmarks.experiments.record import Record
from benchmarks.experiments.study import Row
from benchmarks.frontier.figures import Found, differences_of, excess_of, found
from benchmarks.frontier.table import (
    BOUND,
    STUDENT,
    TEACHER,
    TRAINED,
    TUNED,
    TUNED_STEPS,
    VARIANTS,
    Line,
    Times,
    lines_of,
)
from diffusion import SampleInfo

COLUMNS = (1, 2, 4, 8, 16, 32, 100, 1000)  # calls: a cell stands in the first that has room for it


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table."""
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]


def short(value: float) -> str:
    """As in 0.0123: three digits that count, without an exponent."""
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.4f}" if abs(value) >= 1e-4 else f"{value:.6f}"


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
    means = {column: [p.mean for (_, c), p in points.items() if c == column and p] for column in columns}

    def cell(line: Line, column: int) -> str:
        if (line, column) not in places:
            return ""
        point = points[line, column]
        is_best = point is not None and len(means[column]) > 1 and point.mean == min(means[column])
        return shown(point, column, is_best)

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


def last_steps(data_name: str) -> tuple[int, int]:
    """The two largest numbers of steps of the solver that all formulations are drawn by."""
    before, last = (cell.drawing.sampler.split("_")[1] for cell in lines_of(data_name)[0].cells[-2:])
    return int(before), int(last)


def last_gain(data_name: str, record: Record) -> str:
    """The figures of each formulation at these two, as in `v` 0.506 → 0.506."""
    gains = []
    for line in lines_of(data_name)[: len(VARIANTS)]:
        points = [found(record, cell, "kid") for cell in line.cells[-2:]]
        gains.append(f"`{line.variant}` {' → '.join(short(point.mean) if point else MISSING for point in points)}")
    return ", ".join(gains)


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


def tuned_table(record: Record | None) -> list[str]:
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


def times_table(judged: dict[Times, Judged | None], records: dict[str, Record | None]) -> list[str]:
    """A row an aim of the student, with the columns of the study's table of claims."""
    kind, margin = BOUND
    rows = []
    for claim, verdict in judged.items():
        second = f"{claim.factor:g} FD of `{claim.teacher.key}`"
        hypothesis = f"{kind}, margin {margin:g}: FD of `{claim.student.key}` - {second}"
        cells = ["", "", "", "", MISSING]
        if verdict is not None:
            values = excess_of(claim, records)
            interval = f"{verdict.mean:+.3g} ({verdict.low:+.3g} to {verdict.high:+.3g})"
            spread = f"{statistics.stdev(values):.2g}"
            cells = [interval, spread, f"{verdict.p:.2g}", power_of(kind, margin, values, 1), verdict.shown]
        rows.append([claim.claim, hypothesis, *cells])
    return markdown(["claim", "hypothesis", "difference (interval)", "sd", "p", "power", "verdict"], rows)


def judged_table(
    judged: dict[Row, Judged | None], records: dict[str, Record | None], data: str, section: str
) -> list[str]:
    """The study's table of claims, without the column that says whose they are: all are ours."""
    rows = [row for row in judged if (row.data_name, row.section) == (data, section)]
    values = [differences_of(row, records) for row in rows]
    members = sum(row.kind == "improves" for row in judged)
    made = claims_table(rows, [judged[row] for row in rows], values, members)
    return [f"|{line.split('|', 2)[2]}" for line in made]
