"""One job at a time for all visitors: what is told arrives, and a visitor who stops or goes frees the machine."""

import threading

import pytest

from page.machine import Machine, Stopped


def counting(until, told=None, begun=None, go=None):
    """A job that tells 0, 1, ... and notes in `told` what was taken from it."""

    def job(tell):
        if begun is not None:
            begun.set()
        for number in range(until):
            if go is not None:
                go.wait(10)
            tell(number)
            if told is not None:
                told.append(number)
        return "done"

    return job


def test_what_is_told_is_seen_in_order_and_the_last_of_it_always():
    seen = list(Machine().watch("a", counting(100)))
    assert seen == sorted(set(seen)) and seen[-1] == 99


def test_an_error_of_the_job_is_raised_where_it_is_watched_and_the_next_job_runs():
    def broken(tell):
        tell(1)
        raise ValueError("broken")

    machine = Machine()
    with pytest.raises(ValueError, match="broken"):
        list(machine.watch("a", broken))
    assert list(machine.watch("a", counting(1))) == [0] and machine.busy == 0


@pytest.mark.parametrize("how", ["stop", "stop_all", "close"])
def test_a_visitor_who_stops_or_goes_ends_the_job_at_its_next_step(how):
    machine, told, begun, go = Machine(), [], threading.Event(), threading.Event()
    go.set()
    watching = machine.watch("a/draw", counting(10**9, told, begun))
    next(watching)
    if how == "close":
        watching.close()
    else:
        machine.stop("a/draw") if how == "stop" else machine.stop_all("a")
        with pytest.raises(Stopped):
            list(watching)
    assert list(machine.watch("b", counting(1))) == [0]  # the thread is free again
    length = len(told)
    assert list(machine.watch("b", counting(1))) == [0] and len(told) == length and machine.busy == 0


def test_jobs_run_one_after_the_other_and_one_that_is_stopped_while_it_waits_never_begins():
    machine, first_begun, second_begun, go = Machine(), threading.Event(), threading.Event(), threading.Event()
    seen = {}

    def watch(name, job):
        try:
            seen[name] = list(machine.watch(name, job))
        except Stopped:
            seen[name] = "stopped"

    jobs = [("a", counting(2, begun=first_begun, go=go)), ("b", counting(2, begun=second_begun))]
    threads = [threading.Thread(target=watch, args=each) for each in jobs]
    threads[0].start()
    assert first_begun.wait(10)
    threads[1].start()
    while machine.busy < 2:
        pass
    assert not second_begun.wait(0.05)
    machine.stop("b")
    go.set()
    for thread in threads:
        thread.join(10)
    assert seen["a"][-1] == 1 and seen["b"] == "stopped" and not second_begun.is_set()


def test_a_new_job_of_a_visitor_stops_the_old_one():
    machine = Machine()
    old = machine.watch("a", counting(10**9))
    next(old)
    assert list(machine.watch("a", counting(1))) == [0]
    with pytest.raises(Stopped):
        list(old)
