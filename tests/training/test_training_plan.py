"""The steps of a training and their learning rate; what is due after each; how long it all takes."""

import pytest

from training.due import Due, Intervals, PreviewTimer, due_at, first_interval
from training.plan import first_preview
from training.progress import PreviewPlan, ProgressBar, duration, pace_line
from training.schedule import TrainingSchedule


def schedule(**changes):
    options = {"picture_num": 100, "batch_size": 10, "train_epoch": 5.0, "max_steps": None, "learning_rate": 0.1}
    return TrainingSchedule(**{**options, "warmup_steps": 4, "learning_rate_decay": "linear", **changes})


@pytest.mark.parametrize(
    "changes, steps",
    [
        ({}, 50),
        ({"max_steps": 7}, 7),
        ({"picture_num": 101}, 51),
        ({"batch_size": 1000}, 1),
        ({"train_epoch": 0.01}, 1),
    ],
)
def test_the_steps_show_each_picture_train_epoch_times(changes, steps):
    assert schedule(**changes).total_steps == steps


def test_the_learning_rate_rises_and_falls_linearly():
    rates = [schedule().learning_rate_at(step) for step in range(51)]
    assert rates == pytest.approx([0.1 * min(1, (step + 1) / 4) * (1 - step / 50) for step in range(51)])
    assert rates[50] == 0.0
    constant = schedule(learning_rate_decay="none", warmup_steps=0)
    assert {constant.learning_rate_at(step) for step in (0, 1, 50)} == {0.1}
    # max_steps stops a training early, and lengthens it; the first steps of a longer one are the same.
    assert [schedule(max_steps=7).learning_rate_at(step) for step in range(7)] == rates[:7]
    assert schedule(max_steps=100).learning_rate_at(50) == pytest.approx(0.05)


@pytest.mark.parametrize(
    "step, options, due",
    [
        (1, {}, ""),
        (5, {}, "log"),
        (10, {}, "log preview"),
        (7, {}, "save"),
        (21, {}, "save keep"),
        (3, {"is_last": True}, "preview save"),
        (3, {"is_stopping": True}, "save"),
        (3, {"is_overdue": True}, "preview save"),
        (3, {"is_overdue": True, "is_stopping": True}, "save"),
        (10, {"is_stopping": True}, "log preview save"),
    ],
)
def test_what_is_due(step, options, due):
    assert due_at(step, Intervals(log=5, preview=10, save=7, keep=21), **options) == Due(
        *(name in due.split() for name in Due._fields)
    )


def test_what_is_kept_is_saved_and_without_an_interval_nothing_is_kept():
    assert due_at(3, Intervals(100, 100, 100, keep=3)) == Due(log=False, preview=False, save=True, keep=True)
    assert not any(due_at(3, Intervals(100, 100, 100)))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def overdue_times(minutes, until, seconds_taken=0.0):
    """The seconds at which a training whose steps take a second draws and saves by the clock."""
    clock, times = Clock(), []
    timer = PreviewTimer(minutes, clock)
    while clock.now < until:
        clock.now += 1
        if timer.is_overdue():
            times.append(clock.now)
            clock.now += seconds_taken
            timer.restart()
    return times


def test_the_first_preview_comes_after_a_minute_and_the_others_at_growing_distances():
    assert overdue_times(10, until=2000) == [60, 180, 420, 900, 1500]
    assert overdue_times(0.5, until=100) == [30, 60, 90]
    assert overdue_times(None, until=10_000) == []
    assert (first_interval(None), first_interval(0.5), first_interval(10)) == (None, 30, 60)


def test_previews_that_take_long_come_less_often():
    times = overdue_times(1, until=100_000, seconds_taken=60)
    assert len(times) * 60 <= 0.06 * 100_000 and len(times) > 50


@pytest.mark.parametrize(
    "seconds, text",
    [(0.2, "1 s"), (40, "40 s"), (100, "2 min"), (5000, "83 min"), (7200, "2 h"), (432_000, "5 days")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_the_pace_says_when_the_next_picture_and_the_end_come():
    # A picture takes 300 calls of a third of (4 s / 8) each: 50 s.
    plan = PreviewPlan(every=100, first_seconds=None, network_calls=300)
    line = pace_line(4.0, step=80, total_steps=1000, batch_size=8, previews=plan)
    assert "4 s a step" in line and f"about {duration(20 * 4 + 50)}," in line
    assert line.endswith(f"all 1,000 steps after about {duration(920 * 4 + 10 * 50)}")
    assert f"about {duration(30 + 50)}," in pace_line(4.0, 80, 1000, 8, plan._replace(first_seconds=30.0))
    assert f"about {duration(5 * 4 + 50)}," in pace_line(4.0, 80, 85, 8, plan)  # the last step draws, too


@pytest.mark.parametrize(
    "every, seconds, total, words",
    [(1000, 60.0, 5000, "1,000 steps or 60 s, whichever comes first"), (1000, 30.0, 7, "7 steps or 30 s, whichever comes first"),
     (1000, None, 5000, "1,000 steps")],
)  # fmt: skip
def test_the_plan_says_when_the_first_pictures_come(every, seconds, total, words):
    assert first_preview(PreviewPlan(every, seconds, network_calls=320), total) == f"the first pictures after {words}"


@pytest.mark.parametrize("visible, count", [(True, 1), (False, 0)])
def test_the_pace_and_each_kind_of_warning_are_printed_once(capsys, visible, count):
    waits = []
    plan = PreviewPlan(every=100, first_seconds=60.0, network_calls=300)
    with ProgressBar(100, 10, 8, plan, visible, lambda: waits.append(1)) as progress:
        for _ in range(60):
            progress.update()
            progress.show({}, ["the loss has risen to 3: lower it"])
    output = capsys.readouterr().out
    assert output.count("Pace:") == output.count("Warning: step 11: the loss has risen to 3") == count
    assert len(waits) == 2 * count  # the device is waited for at the two ends of what is measured
