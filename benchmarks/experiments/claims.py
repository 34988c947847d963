"""The rule by which every claim is judged: one for all rows of table.py, stated before anything was run.

d_k is the difference of training k (the figure of the row's first cell minus that of its second), and Student's t gives the
interval that holds their mean with a given probability (n - 1 degrees of freedom). A claim is a region of that mean: the
interval inside it, the claim holds; outside of it, it does not hold; else it is not decided.

    same       (-margin, margin)   interval of 90 %: two one-sided tests (TOST) of 5 % each (Schuirmann 1987)
    no_worse   below margin        95 %
    less       below 0             95 %
    more       above 0             95 %
    improves   below 0             95 %, and the two-sided p must stand Holm's correction (1979) over all `improves`

Where `less`, `more` and `improves` are not decided so, two one-sided tests say whether the difference lies within the margin:
then there is nothing worth claiming, and they do not hold. Where they hold and the difference lies within the margin all the
same, the verdict says so: there is a difference, and it is of no interest.
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from scipy.stats import t as student

HOLDS, FAILS, OPEN, MISSING = "holds", "does not hold", "not decided", "not yet measured"
KINDS = ("same", "no_worse", "less", "more", "improves")
DIRECTED = ("less", "more", "improves")
ERROR = 0.05  # of a claim, and of the family of `improves`


class Judged(NamedTuple):
    """The mean difference, the interval that the verdict is of, the two-sided p of a mean of 0, and the verdict.

    is_slight: whether a directed claim holds by less than the margin.
    """

    mean: float
    low: float
    high: float
    p: float
    verdict: str
    is_slight: bool = False

    @property
    def shown(self) -> str:
        """The verdict in a cell of Markdown."""
        return f"**{self.verdict}**" + (", by less than the margin" if self.is_slight else "")


def mean_and_error(differences: Sequence[float]) -> tuple[float, float]:
    """The mean of at least two differences, and its standard error."""
    return statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(differences))


def interval(differences: Sequence[float], probability: float) -> tuple[float, float]:
    """Student's interval of the mean of at least two differences."""
    mean, error = mean_and_error(differences)
    half = error * float(student.ppf(0.5 + probability / 2, len(differences) - 1))
    return mean - half, mean + half


def p_value(differences: Sequence[float]) -> float:
    """Two-sided, of the paired t-test; 1 where all differences are 0."""
    mean, error = mean_and_error(differences)
    if error == 0:
        return 0.0 if mean else 1.0
    return 2 * float(student.sf(abs(mean) / error, len(differences) - 1))


def region(kind: str, margin: float) -> tuple[float, float]:
    """Where the mean difference lies if the claim is true."""
    return {
        "same": (-margin, margin),
        "no_worse": (-math.inf, margin),
        "less": (-math.inf, 0.0),
        "more": (0.0, math.inf),
        "improves": (-math.inf, 0.0),
    }[kind]


def judge(differences: Sequence[float], kind: str, margin: float, *, stands: bool = True) -> Judged:
    """The rule. `stands`: whether the p of an `improves` stands Holm's correction."""
    first, last = region(kind, margin)
    tost = interval(differences, 1 - 2 * ERROR)
    low, high = tost if kind == "same" else interval(differences, 1 - ERROR)
    within = kind in DIRECTED and -margin <= tost[0] and tost[1] <= margin
    verdict = OPEN
    if first < low and high < last and stands:
        verdict = HOLDS
    elif high <= first or last <= low or within:
        verdict = FAILS
    return Judged(statistics.fmean(differences), low, high, p_value(differences), verdict, within and verdict == HOLDS)


def holm(p_values: Sequence[float], error: float = ERROR) -> list[bool]:
    """Which hypotheses Holm's step-down procedure rejects: family-wise error at most `error`, whatever their dependence."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = [False] * len(p_values)
    for place, i in enumerate(order):
        if p_values[i] > error / (len(p_values) - place):
            break
        rejected[i] = True
    return rejected


def judge_all(rows: Sequence[tuple[str, float, Sequence[float] | None]]) -> list[Judged | None]:
    """Each (kind, margin, differences) judged, the `improves` among them as one family; None where nothing was measured yet.

    A hypothesis of the family that was not measured counts in it with a p of 1.
    """
    family = [i for i, (kind, _, _) in enumerate(rows) if kind == "improves"]
    p_values = [1.0 if rows[i][2] is None else p_value(rows[i][2]) for i in family]
    stands = dict(zip(family, holm(p_values)))
    return [
        None if differences is None else judge(differences, kind, margin, stands=stands.get(i, True))
        for i, (kind, margin, differences) in enumerate(rows)
    ]
