"""The rule by which the experiments' claims are judged: the tests that it is made of, and how often it errs."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from benchmarks.experiments import power
from benchmarks.experiments.claims import ERROR, FAILS, HOLDS, KINDS, OPEN, holm, interval, judge, judge_all, p_value

NOISE = (-0.9, 1.1, 0.3, -0.5)  # of mean 0, sd 0.91


@pytest.mark.parametrize("values", [NOISE, (1.0, 1.2, 0.9, 1.1), (-3.0, 5.0)])
def test_the_interval_and_p_are_those_of_the_paired_t_test(values):
    expected = ttest_1samp(values, 0.0)
    assert p_value(values) == pytest.approx(expected.pvalue)
    assert interval(values, 0.9) == pytest.approx(tuple(expected.confidence_interval(0.9)))


def test_differences_that_are_all_alike_need_no_test():
    assert p_value([0.0, 0.0, 0.0]) == 1.0 and p_value([1.0, 1.0]) == 0.0
    assert judge([0.0] * 4, "same", 0.1).verdict == HOLDS and judge([0.0] * 4, "more", 0.1).verdict == FAILS


def test_not_significant_is_not_the_same():
    assert judge(NOISE, "same", 0.5).verdict == OPEN  # a mean of exactly 0
    assert judge(NOISE, "same", 1.2).verdict == HOLDS
    assert judge([value + 9 for value in NOISE], "same", 1.2).verdict == FAILS


@pytest.mark.parametrize("shift", np.linspace(-3, 3, 25))
def test_the_same_is_two_one_sided_tests(shift):
    values, margin = [value + shift for value in NOISE], 1.5
    p = max(
        ttest_1samp(values, -margin, alternative="greater").pvalue,
        ttest_1samp(values, margin, alternative="less").pvalue,
    )
    assert (judge(values, "same", margin).verdict == HOLDS) == (p < ERROR)


@pytest.mark.parametrize(
    "kind, shift, expected",
    [
        ("more", 2.0, HOLDS), ("more", -2.0, FAILS), ("more", 0.2, OPEN),
        ("less", -2.0, HOLDS), ("less", 2.0, FAILS), ("less", 0.2, OPEN),
        ("no_worse", 0.0, OPEN), ("no_worse", -1.0, HOLDS), ("no_worse", 3.0, FAILS),
        ("improves", -2.0, HOLDS), ("improves", 2.0, FAILS), ("improves", 0.0, OPEN),
    ],
)  # fmt: skip
def test_a_claim_is_a_region_of_the_mean(kind, shift, expected):
    assert judge([value + shift for value in NOISE], kind, 1.0).verdict == expected


def test_a_difference_within_the_margin_is_not_worth_claiming():
    assert judge(NOISE, "more", 1.2).verdict == judge(NOISE, "improves", 1.2).verdict == FAILS


@pytest.mark.parametrize("margin, is_slight", [(2.0, False), (4.5, True)])
def test_what_holds_by_less_than_the_margin_says_so(margin, is_slight):
    found = judge([value + 3 for value in NOISE], "more", margin)
    assert found.verdict == HOLDS and found.is_slight == is_slight
    assert found.shown == ("**holds**, by less than the margin" if is_slight else "**holds**")
    assert not judge(NOISE, "same", 5.0).is_slight


def test_holm_steps_down_and_stops_at_the_first_that_does_not_stand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]  # 0.05/4, /3, then 0.03 > 0.05/2
    assert holm([0.02, 0.02, 0.02]) == [False] * 3 and holm([]) == []


def test_one_improvement_alone_holds_and_among_many_it_does_not():
    weak = [value - 1.6 for value in NOISE]  # p = 0.039
    assert judge_all([("improves", 0.1, weak)])[0].verdict == HOLDS
    many = [("improves", 0.1, weak), ("improves", 0.1, NOISE), ("improves", 0.1, None), ("more", 0.1, None)]
    first, second, *missing = judge_all(many)
    assert first.verdict == second.verdict == OPEN and missing == [None, None]  # what is not measured yet counts, too


# --- its errors, by simulation


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("margin", [0.3, 1.0, 3.0])
def test_what_is_simulated_is_the_rule(kind, margin):
    differences = np.random.default_rng(0).standard_normal((60, 4)) + np.linspace(-3, 3, 60)[:, None]
    holds, fails = power.verdicts(differences, kind, margin)
    expected = [judge(list(each), kind, margin).verdict for each in differences]
    assert [HOLDS if h else FAILS if f else OPEN for h, f in zip(holds, fails)] == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [4, 6])
def test_with_nothing_there_a_claim_holds_in_at_most_5_percent(kind, n):
    error = 4 * (ERROR / power.REPEATS) ** 0.5  # of the simulation
    assert all(power.false_positives(kind, margin, n) <= ERROR + error for margin in (0.2, 1.0, 2.0))


def test_with_nothing_there_the_family_holds_in_at_most_5_percent():
    corrected, plain = power.family_error(8, 4, repeats=20_000)
    assert corrected <= ERROR and plain > 2 * ERROR  # and that is what the correction is for


def test_the_power_grows_with_the_effect_and_the_trainings():
    found = [power.chance("more", effect, 0.1, n, repeats=5_000)[0] for effect, n in [(0, 4), (1, 4), (2, 4), (2, 8)]]
    assert found == sorted(found) and found[-1] > 0.95
    assert power.effect_found(4) == pytest.approx(2.0, abs=0.2)  # by tables of the noncentral t: 2.02
    many, alone = (power.chance("improves", -2.0, 0.1, 4, members=members, repeats=5_000)[0] for members in (8, 1))
    assert many < alone / 2
