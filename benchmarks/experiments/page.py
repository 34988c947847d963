"""Writes docs/experiments.md from the records of the study: python -m benchmarks.experiments.page [--output docs/experiments]

Nothing is drawn or trained here: every number comes from docs/experiments/NAME.json, and every verdict from claims.py.
"""

import argparse
import json
import math
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # run as a program, it sees the project's folders

from benchmarks.experiments import power  # noqa: E402
from benchmarks.experiments.cells import Cell  # noqa: E402
from benchmarks.experiments.claims import FAILS, HOLDS, MISSING, OPEN, Judged, judge, judge_all  # noqa: E402
from benchmarks.experiments.record import Record, differences  # noqa: E402
from benchmarks.experiments.study import Row, cells_of  # noqa: E402
from benchmarks.experiments.table import (  # noqa: E402
    COMMON,
    DATA,
    FASTER,
    FASTER_MARGIN,
    GREY,
    SECTIONS,
    STUDY,
    TRAININGS,
    VARIANTS,
    rows_of,
)
from utils.files import atomic_write  # noqa: E402

SPEED = ROOT / "benchmarks" / "results" / "faster_cpu.json"
SHOWN = (
    "kid",
    "fid",
    "confident",
    "light",
    "chroma",
    "edges",
    "grain",
    "mean_change",
    "largest_change",
    "jump",
    "left",
)

HEAD = """# The experiments

What the page that this project grew from claims, and what we claim, as a study. Each claim's hypothesis, margin, trainings and
pictures were fixed in [table.py](../benchmarks/experiments/table.py) before it was measured;
[claims.py](../benchmarks/experiments/claims.py) judges all of them by one rule. This page is written by

```bash
bash run_experiments.sh                      # trains, draws, measures, writes; goes on where it was stopped
python -m benchmarks.experiments.page        # writes the page again from the records
```

**What is compared.** Small networks on the embedded pictures, {trainings} trainings of each variant (seeds 0 to {last}),
{steps} steps of 16 pictures: a verdict is one at that budget. Trainings of one seed begin alike and see the same pictures with
the same noise. Training k draws {pictures} pictures, of the seeds from {apart:,} k on, {total:,} in all. So each seed gives one
difference, and the {trainings} differences of a row are independent. All begin from the entry in [config.yaml](../config.yaml)
(EDM's skip for digits, an estimate of x_0 for emoji; Muon; logit-normal timesteps), with the plain loss and a learning rate
that stays: `{common}`.

**The figures.** `kid`: the kernel distance to the training pictures, unbiased for any number of pictures, in the features of
our digit classifier or of EfficientNet-lite0: it compares rows of one data set, not with papers. `edges`: the mean difference
of neighbouring pixels. `grain`: the root mean square difference of a picture from its 3x3 median. `light`: the mean of all
channels. `jump`: on the way between two pictures, the largest change over the mean change. `left`: the
distance of what is shown half-way from the finished picture, as a share of the noise's. `fid`, `confident` (digits) and
`chroma` (colour) are shown and not judged.

## The rule

Student's t gives the interval of the mean of the differences. A claim is a region of that mean; it **holds** if the interval
lies inside the region, **does not hold** if it lies outside, and else is **not decided**.

| kind | holds if the difference is | interval |
|---|---|---|
| same | within the margin of 0 | 90 %: two one-sided tests (TOST) |
| no_worse | below the margin | 95 % |
| less, more | below 0, above 0 | 95 % |
| improves | below 0, and p stands Holm's correction over all claims of this kind | 95 % |

A `less`, `more` or `improves` that is not decided so does not hold, either, where two one-sided tests find the difference
within the margin, which is a difference of no interest. One that holds, and by such a difference, says so.

How often the rule says "holds" with nothing there (a difference of 0; for `same` and `no_worse` of just the margin), in
{repeats:,} simulated studies of {trainings} trainings, the margin in standard deviations (sd) of the differences:
"""


POWER = """Beside each claim stands its own power: how often such a study would say "holds", and how often "does not hold",
if the difference and its sd were just those that were found. The variants:"""


def claims_table(
    rows: Sequence[Row], judged: Sequence[Judged | None], found: Sequence[list[float] | None], members: int
) -> list[str]:
    """Markdown: a row a claim."""
    lines = [
        "| whose | claim | hypothesis | difference (interval) | sd | p | power | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row, verdict, values in zip(rows, judged, found):
        cells = [row.whose, row.claim, hypothesis(row)]
        if verdict is None:
            cells += ["", "", "", "", MISSING]
        else:
            sd = statistics.stdev(values)
            interval = f"{verdict.mean:+.3g} ({verdict.low:+.3g} to {verdict.high:+.3g})"
            cells += [interval, f"{sd:.2g}", f"{verdict.p:.2g}", power_of(row.kind, row.margin, values, members)]
            cells.append(verdict.shown)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def hypothesis(row: Row) -> str:
    """In a cell: the kind, the figure and what is subtracted from what."""
    second = row.second if isinstance(row.second, float) else f"`{row.second.key}`"
    return f"{row.kind}, margin {row.margin:g}: {row.figure} of `{row.first.key}` - {second}"


def power_of(kind: str, margin: float, values: Sequence[float], members: int) -> str:
    """How often such a study would say "holds", and "does not hold", were the difference and its sd those that were found."""
    sd = statistics.stdev(values)
    if sd == 0:
        return ""
    effect, scaled = statistics.fmean(values) / sd, margin / sd
    holds, fails = power.chance(kind, effect, scaled, len(values), members=members, repeats=4_000)
    return f"{holds:.0%}, {fails:.0%}"


def figures_table(cells: Sequence[Cell], record: Record) -> list[str]:
    """Markdown: a row a cell, each figure's mean and standard deviation over the trainings."""
    measured = [cell for cell in cells if record.figures(cell, 0) is not None]
    runs = {
        cell: [f for k in range(record.trainings) if (f := record.figures(cell, k)) is not None] for cell in measured
    }
    names = [name for name in SHOWN if any(name in found[0] for found in runs.values())]
    if not names:
        return []
    lines = ["| variant, drawing | trainings | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for cell, found in runs.items():
        shown = [mean_and_std([run[name] for run in found if name in run]) for name in names]
        lines.append(f"| `{cell.key}` | {len(found)} | {' | '.join(shown)} |")
    real = record.content["real"]
    if any(name in real for name in names):
        lines.append(
            "| real, held out | | " + " | ".join(f"{real[name]:.3g}" if name in real else "" for name in names) + " |"
        )
    return lines


def mean_and_std(values: Sequence[float]) -> str:
    """As in 0.45 ± 0.012; empty where there are none."""
    if not values:
        return ""
    return f"{statistics.fmean(values):.3g}" + (f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else "")


def speed_lines() -> list[str]:
    """The seed page's sentence on speed, by seconds that were measured alone, in turns."""
    claim = f"DDIM of 50 steps is at least {FASTER:g} times faster than DDPM of 1,000"
    if not SPEED.is_file():
        return ["", f"{claim}: {MISSING} (`python benchmarks/faster.py --clock cpu`)."]
    record = json.loads(SPEED.read_text(encoding="utf-8"))
    ratios = record["ratios"]
    found = judge([math.log(each / FASTER) for each in ratios], "more", math.log(1 + FASTER_MARGIN))
    low, high = (FASTER * math.exp(bound) for bound in (found.low, found.high))
    return [
        "",
        f"**{claim}** (seed page): **{found.verdict}**. {statistics.median(ratios):.1f} times, the median of {len(ratios)} "
        f"turns (95 % interval of the mean {low:.1f} to {high:.1f}; by the rule, on logarithms, margin {FASTER_MARGIN:.0%}). "
        f"The two took turns, in the process's own processor seconds, with `{record['model']}`, {record['pictures']} pictures "
        f"at a time. The calls are 20 times as many. `{record['command']}`, {record['date']}, "
        f"[record](../benchmarks/results/{SPEED.name}).",
    ]


def data_lines(name: str, record: Record, folder: Path, judged: dict[Row, Judged | None], members: int) -> list[str]:
    """All that was found with one data set."""
    rows = [row for row in judged if row.data_name == name]
    found = {row: differences(row, record) for row in rows}
    seconds = [value for taken in record.content["seconds"].values() for value in taken.values()]
    lines = ["", f"## {name}", ""]
    if DATA[name].checkpoint:
        lines.append(
            f"`{DATA[name].checkpoint}`, of which nothing is trained here: what stands for the trainings are {TRAININGS} sets "
            "of its pictures, of other seeds each, so that a verdict is one on this checkpoint alone."
        )
    if seconds:
        on = record.content["machine"]
        lines.append(
            f"{DATA[name].steps} steps a training, with `{' '.join(DATA[name].settings)}`; "
            f"{statistics.median(seconds):.0f} processor seconds each ({on['device']}, {on['cpu']}, {on['threads']} of "
            f"{on['cores']} cores). [All figures](experiments/{name}.json)."
        )
    for section in dict.fromkeys(row.section for row in rows):
        some = [row for row in rows if row.section == section]
        lines += ["", f"### {SECTIONS[section]}", ""]
        lines += claims_table(some, [judged[row] for row in some], [found[row] for row in some], members)
        if name == GREY and section == "samplers":
            lines += speed_lines()
        if (folder / f"{name}_{section}.png").is_file():
            lines += ["", f"![{SECTIONS[section]}](experiments/{name}_{section}.png)"]
        table = figures_table(cells_of(some), record)
        lines += ["", *table] if table else []
    return lines


def page(folder: Path) -> str:
    """The whole page, of the records in `folder`."""
    records, rows = {name: Record(folder / f"{name}.json", STUDY, name) for name in DATA}, rows_of(list(DATA))
    judged = dict(
        zip(rows, judge_all([(row.kind, row.margin, differences(row, records[row.data_name])) for row in rows]))
    )
    members, pictures = sum(row.kind == "improves" for row in rows), DATA[GREY].pictures
    head = HEAD.format(
        trainings=TRAININGS, last=TRAININGS - 1, pictures=pictures, total=TRAININGS * pictures, apart=STUDY.seeds_apart,
        steps=" or ".join(sorted({str(data.steps) for data in DATA.values() if data.steps})), common=" ".join(COMMON[:2]),
        repeats=power.REPEATS,
    )  # fmt: skip
    changes = [f"| `{name}` | {' '.join(f'`{change}`' for change in changed)} |" for name, changed in VARIANTS.items()]
    counts = Counter(MISSING if found is None else found.verdict for found in judged.values())
    summary = "; ".join(f"{verdict}: {counts[verdict]}" for verdict in (HOLDS, FAILS, OPEN, MISSING))
    lines = [
        head,
        *power.lines(TRAININGS, members),
        "",
        f"**Of {len(rows)} claims** (beside that of speed, below): {summary}.",
        "",
    ]
    lines += [POWER, ""]
    lines += ["| variant | changes |", "|---|---|", *changes]
    for name, record in records.items():
        lines += data_lines(name, record, folder, judged, members)
    return "\n".join(lines).replace("](experiments/", f"]({folder.name}/") + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "experiments", metavar="DIR")
    folder = parser.parse_args().output
    path = folder.with_name(f"{folder.name}.md")
    with atomic_write(path) as temporary:
        temporary.write_text(page(folder), encoding="utf-8")
    print(f"Wrote:   {path.absolute()}")


if __name__ == "__main__":
    main()
