"""What the rule is worth, by simulation: how often it says "holds" of what is not so, and how large an effect it finds.

    python -m benchmarks.experiments.power

Differences are drawn from a normal distribution, TRAININGS of them a claim. Effects and margins are in units of its standard
deviation, which each row of the page gives.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from benchmarks.experiments.claims import DIRECTED, ERROR, KINDS, holm, region

REPEATS = 200_000


def verdicts(differences: np.ndarray, kind: str, margin: float, members: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Whether claims of (R, n) differences hold, and whether they do not, each bool (R,): claims.judge for many at once.

    An `improves` has to stand the hardest step of Holm's correction, of so many `members`.
    """
    n = differences.shape[1]
    mean, error = differences.mean(axis=1), differences.std(axis=1, ddof=1) / math.sqrt(n)
    first, last = region(kind, margin)
    narrow, wide = (float(student.ppf(p, n - 1)) * error for p in (1 - ERROR, 1 - ERROR / 2))
    half = narrow if kind == "same" else wide
    holds = (mean - half > first) & (mean + half < last)
    if kind == "improves":
        holds &= mean + float(student.ppf(1 - ERROR / 2 / members, n - 1)) * error < 0
    fails = (mean + half <= first) | (mean - half >= last)
    if kind in DIRECTED:
        fails |= ~holds & (mean - narrow >= -margin) & (mean + narrow <= margin)
    return holds, fails & ~holds


def chance(
    kind: str, effect: float, margin: float, n: int, *, members: int = 1, seed: int = 0, repeats: int = REPEATS
) -> tuple[float, float]:
    """How often a claim is said to hold, and not to hold, where the mean difference is `effect`; `members`: see `verdicts`."""
    differences = np.random.default_rng(seed).standard_normal((repeats, n)) + effect
    holds, fails = verdicts(differences, kind, margin, members)
    return float(holds.mean()), float(fails.mean())


def false_positives(kind: str, margin: float, n: int) -> float:
    """How often the rule says "holds" with nothing there: at the edge of what is claimed, where it errs most."""
    first, last = region(kind, margin)
    edges = [edge for edge in (first, last) if math.isfinite(edge)]
    return max(chance(kind, edge, margin, n)[0] for edge in edges)


def family_error(members: int, n: int, *, seed: int = 0, repeats: int = REPEATS) -> tuple[float, float]:
    """How often at least one of so many `improves` is said to hold with nothing there: with Holm's correction, and without."""
    rng, corrected, plain = np.random.default_rng(seed), 0, 0
    differences = rng.standard_normal((repeats, members, n))
    t = differences.mean(axis=2) / (differences.std(axis=2, ddof=1) / math.sqrt(n))
    p_values = 2 * student.sf(np.abs(t), n - 1)
    for p, below in zip(p_values, t < 0):
        plain += bool(((p <= ERROR) & below).any())
        if p.min() <= ERROR:  # else nothing can stand
            corrected += any(stands and is_below for stands, is_below in zip(holm(p), below))
    return corrected / repeats, plain / repeats


def effect_found(n: int, power: float = 0.8) -> float:
    """The effect, in standard deviations, from which on a `more` holds in the share `power` of cases."""
    effects = np.arange(0.0, 8.0, 0.05)
    return next(float(e) for e in effects if chance("more", float(e), 0.0, n, repeats=4_000)[0] >= power)


def margin_found(n: int, power: float = 0.8) -> float:
    """The margin, in standard deviations, from which on a `same` with nothing there holds in the share `power` of cases."""
    margins = np.arange(0.0, 8.0, 0.05)
    return next(float(m) for m in margins if chance("same", 0.0, float(m), n, repeats=4_000)[0] >= power)


def lines(n: int, members: int, margins: Sequence[float] = (0.5, 1.0, 2.0)) -> list[str]:
    """The tables of the page."""
    table = [
        "| kind of claim | " + " | ".join(f"margin {m:g} sd" for m in margins) + " |",
        "|---|" + "---|" * len(margins),
    ]
    for kind in KINDS:
        table.append(f"| {kind} | " + " | ".join(f"{false_positives(kind, m, n):.1%}" for m in margins) + " |")
    corrected, plain = family_error(members, n)
    return [
        *table,
        "",
        f"At least one of the {members} `improves` in {corrected:.1%} of studies (without Holm's correction in {plain:.1%}).",
        f"With {n} trainings, `more` and `less` find an effect of {effect_found(n):.1f} sd in 80 % of cases, and",
        f"`same` is found with nothing there in 80 % from a margin of {margin_found(n):.1f} sd on.",
    ]


if __name__ == "__main__":
    from benchmarks.experiments.table import DATA, TRAININGS, rows_of

    print("\n".join(lines(TRAININGS, sum(row.kind == "improves" for row in rows_of(list(DATA))))))
