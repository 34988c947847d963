"""What is read of a run's folder."""

from utils.log_curves import grouped_curves
from utils.run_files import evenly, words_of


def test_curves_of_one_kind_share_a_plot():
    line = {"step": 5, "loss": 1.0, "loss_q1": 2.0, "loss_q4": 0.5, "grad_norm": 3.0, "drawn_mean_0": 0.1, "data_mean_0": 0.2,
            "drawn_mean_1": 0.3, "clipped": 0.2, "data_clipped": 0.1, "doctor": ["red"], "flag": True}  # fmt: skip
    groups = grouped_curves([line, {"step": 6, "loss": 0.5}])
    assert {title: [curve.label for curve in curves] for title, curves in groups.items()} == {
        "loss": ["loss", "loss_q1", "loss_q4"],
        "grad norm": ["grad_norm"],
        "mean": ["drawn_mean_0", "data_mean_0", "drawn_mean_1"],
        "clipped": ["clipped", "data_clipped"],
    }
    assert (groups["loss"][0].x, groups["loss"][0].y) == ([5, 6], [1.0, 0.5])
    assert [curve.dashed for curve in groups["mean"]] == [False, True, False]
    assert [curve.colour for curve in groups["mean"]] == [0, 0, 1] and [curve.colour for curve in groups["loss"]] == [
        0,
        1,
        2,
    ]
    assert words_of(line) == ["red"]


def test_grids_are_chosen_evenly_and_hold_the_first_and_the_last():
    assert evenly(list(range(12)), 12) == list(range(12))
    for count in (13, 50, 1000):
        chosen = evenly(list(range(count)), 12)
        assert len(set(chosen)) == 12 and (chosen[0], chosen[-1]) == (0, count - 1)
        gaps = [b - a for a, b in zip(chosen, chosen[1:])]
        assert max(gaps) - min(gaps) <= 1
