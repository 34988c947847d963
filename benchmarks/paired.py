"""When a variant of a recipe is better or worse than the recipe, and the tables of docs/recipe.md.

The rule was stated before anything was measured. The trainings of one seed are a pair. Of the differences, variant minus
recipe, Student's t gives the interval that holds their mean with 95 % (n - 1 degrees of freedom). A variant is better or worse
if the interval does not contain 0, as good if it lies within the margin on both sides of 0, else it is not decided.
"""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.experiments.claims import interval

# Of the figures that are judged, all of which are better when smaller: differences up to this are of no interest.
MARGINS: dict[str, dict[str, float]] = {
    "Mnist_Mini": {"fid": 0.25, "told_apart": 0.03},
    "Emoji": {"kid": 0.01},
    "Student": {"fid_1": 0.1, "fid_4": 0.1},
}
TITLES = {
    "fid": "FID",
    "told_apart": "told apart",
    "confident": "confident",
    "read_as_asked": "read as asked",
    "kid": "KID",
    **{f"fid_{calls}": f"FID, {calls} call{'s' * (calls > 1)}" for calls in (1, 2, 4)},
}
PERCENT = ("told_apart", "confident", "read_as_asked")
VERDICTS = ("better", "as good", "not decided", "worse")


class Difference(NamedTuple):
    """The mean of the differences, half of its interval's length, and what follows from them."""

    mean: float
    half: float
    verdict: str


def compare(variant: Sequence[float], recipe: Sequence[float], margin: float) -> Difference:
    """The rule, for a figure that is better when smaller, of at least two trainings of the same seeds."""
    differences = [one - other for one, other in zip(variant, recipe, strict=True)]
    low, high = interval(differences, 0.95)
    if low > 0 or high < 0:
        verdict = "worse" if low > 0 else "better"
    elif max(-low, high) <= margin:
        verdict = "as good"
    else:
        verdict = "not decided"
    return Difference((low + high) / 2, (high - low) / 2, verdict)


def ablation_table(record: dict) -> str:
    """Markdown: a row a variant, the means of its trainings and its differences from the recipe, the first variant."""
    of_variant = trainings_by_variant(record)
    names = [name for name in record["rows"][0] if name not in ("variant", "settings", "seed", "seconds")]
    judged, (recipe, *_) = record["margins"], of_variant.values()
    heads = ["variant", "changes", "steps", *map(_title, names)]
    heads += [f"{_title(name)}: difference | verdict" for name in judged]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * (len(heads) + len(judged))]
    for variant, rows in of_variant.items():
        cells = [variant, rows[0]["settings"] and f"`{rows[0]['settings']}`", f"{record['steps'][variant]:,}"]
        cells += [_shown(name, [row[name] for row in rows if name in row]) for name in names]
        for name, margin in judged.items():
            cells.append(_difference(name, rows, recipe, margin) if rows is not recipe else " | ")
        lines.append(f"| {' | '.join(cells)} |")
    if record["real"]:
        cells = ["real pictures", "", "", *(_shown(name, [record["real"][name]]) for name in names)]
        lines.append(f"| {' | '.join([*cells, *[' | '] * len(judged)])} |")
    return "\n".join([*lines, "", _source(record)])


def verdict_list(record: dict) -> str:
    """Markdown: for each figure that is judged, which variants are better, as good, not decided, worse."""
    recipe, *others = trainings_by_variant(record).items()
    lines = []
    for name, margin in record["margins"].items():
        found: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
        for variant, rows in others:
            if name not in rows[0]:
                continue
            verdict = compare([row[name] for row in rows], [row[name] for row in recipe[1]], margin).verdict
            found[verdict].append(variant)
        for verdict, variants in found.items():
            lines.append(f"- {_title(name)}, {verdict}: {'; '.join(variants) or 'none'}")
    return "\n".join(lines)


def trainings_by_variant(record: dict) -> dict[str, list[dict]]:
    """The rows of each variant by seed; the first variant is what the others are compared with."""
    found: dict[str, list[dict]] = {}
    for row in sorted(record["rows"], key=lambda row: row["seed"]):
        found.setdefault(row["variant"], []).append(row)
    return found


def _difference(name: str, rows: list[dict], recipe: list[dict], margin: float) -> str:
    """Two cells: the difference with its interval, and the verdict; empty where the variant has no such figure."""
    if name not in rows[0]:
        return " | "
    found = compare([row[name] for row in rows], [row[name] for row in recipe], margin)
    scale, unit = (100, " %") if name in PERCENT else (1, "")
    return f"{scale * found.mean:+.3g} ± {scale * found.half:.2g}{unit} | {_bold(found.verdict)}"


def _bold(verdict: str) -> str:
    return f"**{verdict}**" if verdict in ("better", "worse") else verdict


def _title(name: str) -> str:
    return TITLES.get(name, name)


def _shown(name: str, values: list[float]) -> str:
    """The mean, empty where there is none."""
    if not values:
        return ""
    mean = statistics.mean(values)
    return f"{100 * mean:.1f} %" if name in PERCENT else f"{mean:.3g}"


def _source(record: dict) -> str:
    """What it was measured by and on."""
    machine, margins = record["machine"], record["margins"]
    shown = [
        f"{_title(name)} {100 * of:g} %" if name in PERCENT else f"{_title(name)} {of:g}"
        for name, of in margins.items()
    ]
    spent = [row["seconds"] for row in record["rows"]]
    clock = "the process's own processor seconds" if record["clock"] == "cpu" else "wall clock"
    trained = f"each, up to {record['at_once']} at once" if "at_once" in record else f"each, of {record['seconds']:g} s"
    pictures = f" {record['pictures']} pictures of each;" if "pictures" in record else ""
    return (
        f"`{record['command']}`, {record['date']}; {record['trainings']} trainings {trained} ({clock}; "
        f"as it came out, {min(spent):.0f} to {max(spent):.0f});{pictures} margins: {', '.join(shown)}. {machine['device']}: "
        f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores; torch {machine['versions']['torch']}."
    )
