"""A training that is stopped, killed or shared out is the same training."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from tests.processes import ROOT, TINY, done, refused, start_training, train, wait_for
from utils.checkpoints import load_checkpoint, load_state

SMALL = [*TINY, "train.log_every=2", "train.sample_every=3", "train.save_every=2", "train.warmup_steps=2"]
FP32 = "run.precision=fp32"  # where a comparison is to float32 rounding, on CPUs that have bf16 too


def losses(folder, *without):
    """Every figure of the log but the speed, and but those that are `without`."""
    lines = [json.loads(line) for line in open(folder / "log.jsonl")]
    return [{name: line[name] for name in line if name not in ("pictures_per_second", *without)} for line in lines]


def assert_same_but_for_rounding(first, second):
    one, other = (losses(folder, "warnings") for folder in (first, second))
    assert [line.keys() for line in one] == [line.keys() for line in other]
    for a, b in zip(one, other):
        torch.testing.assert_close(a, b, rtol=2e-4, atol=2e-4)


def assert_same_run(first, second):
    """The second may have drawn more: --max_steps ends with a sheet."""
    a, b = (load_state(folder / "trainer_state.pt") for folder in (first, second))
    for part in ("model", "ema", "optimizer", "monitor"):
        torch.testing.assert_close(a[part], b[part], rtol=0, atol=0)
    assert (a["step"], a["skipped"], a["data"]) == (b["step"], b["skipped"], b["data"])
    others = {line["step"]: line for line in losses(second)}
    for line in losses(first):
        assert line.items() <= others[line["step"]].items()
    weights = [load_checkpoint(folder / "model.safetensors") for folder in (first, second)]
    torch.testing.assert_close(weights[0].state_dict, weights[1].state_dict, rtol=0, atol=0)
    assert weights[0].step == weights[1].step == a["step"]
    assert os.listdir(first / "samples")
    for name in os.listdir(first / "samples"):
        assert (first / "samples" / name).read_bytes() == (second / "samples" / name).read_bytes(), name
    assert not [name for _, _, names in os.walk(second) for name in names if name.endswith(".tmp")]


@pytest.mark.parametrize(
    "extra",
    [
        ["model.dropout=0.2", "train.accumulate=2"],
        ["diffusion.self_condition=true", "diffusion.variance=learned", "diffusion.network_input=x_u"],
        ["train.accumulate=3", "train.ema_decay=0.5"],
    ],
)
def test_going_on_is_as_if_nothing_had_happened(tmp_path, extra):
    settings = [*SMALL, *extra]
    done(train_in(tmp_path, "straight", 7, settings))
    for stop in (1, 2, 3, 6, 7):  # on a line of the log, a sheet and a state, and between them
        done(train_in(tmp_path, "stopped", stop, settings))
    assert_same_run(tmp_path / "straight" / "run", tmp_path / "stopped" / "run")
    assert "Nothing left to do" in done(train_in(tmp_path, "straight", 7, settings))


def train_in(tmp_path, name, steps, settings, environment=None):
    """A training in tmp_path/name/run. --save_dir is relative, so that two runs have the same settings, bit for bit."""
    return start_in(tmp_path, name, steps, settings, environment).wait()


def start_in(tmp_path, name, steps, settings, environment=None):
    (tmp_path / name).mkdir(exist_ok=True)
    return start_training(
        "run", "--max_steps", steps, "--config", os.path.join(ROOT, "config.yaml"), settings=[*settings, f"data.cache_dir={tmp_path}"],
        environment=environment, cwd=tmp_path / name,
    )  # fmt: skip


def kill_many_times(tmp_path, kills, steps, seed):
    """Trains to `steps`, killed `kills` times on the way: every second time as soon as a file is half written."""
    settings = [*SMALL, "train.save_every=1", "train.keep_every=5", "model.dropout=0.1"]
    done(train_in(tmp_path, "straight", steps, settings))
    dice, folder, inside = random.Random(seed), tmp_path / "killed" / "run", 0
    for kill in range(kills):
        stamp = stamp_of(folder)
        process = start_in(tmp_path, "killed", steps, settings)
        if kill % 2:
            while process.running and not any(name.endswith(".tmp") for name in listed(folder)):
                pass
            time.sleep(dice.uniform(0, 0.002))
        else:
            saves = dice.randrange(4)
            while process.running and saves > 0:
                now = stamp_of(folder)
                saves, stamp = saves - (now != stamp), now
            time.sleep(dice.uniform(0, 0.05))
        assert process.running, "it was done before its last kill: more steps are needed"
        process.kill(signal.SIGKILL)
        process.process.join()
        inside += any(name.endswith(".tmp") for name in listed(folder))
    done(train_in(tmp_path, "killed", steps, settings))
    assert_same_run(tmp_path / "straight" / "run", folder)
    return inside


def stamp_of(folder):
    """Changes with every state that is saved."""
    try:
        return os.stat(folder / "trainer_state.pt").st_mtime_ns
    except FileNotFoundError:
        return None


def listed(folder):
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def test_kills_at_any_instant_change_nothing(tmp_path):
    kill_many_times(tmp_path, kills=6, steps=40, seed=0)


@pytest.mark.slow
def test_a_hundred_kills_change_nothing(tmp_path):
    inside = kill_many_times(tmp_path, kills=100, steps=600, seed=1)
    assert inside >= 25  # of the 50 that were aimed at a file half written


def test_a_second_signal_stops_at_once_and_the_state_of_before_stays(tmp_path):
    settings = [
        *SMALL,
        "train.save_every=1",
        "sample.sample_info=DDPM_1000_0p0",
        "train.sample_every=2",
    ]  # minutes a sheet
    process = start_training(tmp_path / "run", "--max_steps", 9, settings=settings)
    wait_for(lambda: (tmp_path / "run" / "trainer_state.pt").exists())
    time.sleep(1)
    process.kill(signal.SIGTERM)
    time.sleep(0.5)
    process.kill(signal.SIGTERM)
    assert process.wait(20).returncode == -signal.SIGTERM
    assert load_state(tmp_path / "run" / "trainer_state.pt")["step"] == 1


def in_terminal(arguments):
    """A process whose terminal is a pseudo-terminal, which closes when the returned handle does."""
    import fcntl  # here: Windows has neither
    import termios

    def take_terminal():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it is ignored where the tests run under nohup

    ours, theirs = os.openpty()
    process = subprocess.Popen(
        arguments, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=take_terminal,
    )  # fmt: skip
    os.close(theirs)
    return process, ours


def test_closing_the_terminal_loses_nothing(tmp_path):
    words = [word for setting in [*SMALL, "train.save_every=1000000"] for word in ("--set", setting)]
    arguments = [
        "train_solver.py",
        "--data_name",
        "Mnist_Mini",
        "--save_dir",
        tmp_path / "run",
        "--max_steps",
        "100000",
    ]
    process, terminal = in_terminal([sys.executable, *map(str, arguments), *words])
    log = tmp_path / "run" / "log.jsonl"
    written = b""
    while not (log.exists() and log.stat().st_size):
        written += os.read(terminal, 10_000)
    os.close(terminal)
    assert process.wait(60) == 128 + signal.SIGHUP, written
    steps = [json.loads(line)["step"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert load_state(tmp_path / "run" / "trainer_state.pt")["step"] >= steps[-1] > 0


def test_the_clock_saves_and_draws_without_changing_the_run(tmp_path):
    settings = [*SMALL, "train.save_every=1000000", "train.sample_every=1000000"]
    done(train_in(tmp_path, "straight", 9, settings))
    by_clock = [*settings, "train.save_minutes=0.000001"]
    process = start_in(tmp_path, "clocked", 9, by_clock)
    assert "step_000009.png" in done(process.wait())
    names = os.listdir(tmp_path / "clocked" / "run" / "samples")
    assert len(names) > 1 and (tmp_path / "clocked" / "run" / "trainer_state.previous.pt").exists()
    assert_same_run(tmp_path / "straight" / "run", tmp_path / "clocked" / "run")


def test_a_run_that_goes_back_does_not_announce_later_pictures(tmp_path):
    settings = [*SMALL, "train.sample_every=1000000"]
    done(train_in(tmp_path, "one", 3, settings))
    done(train_in(tmp_path, "one", 6, settings))
    run = tmp_path / "one" / "run"
    (run / "trainer_state.pt").write_bytes(b"damaged")
    assert load_state(run / "trainer_state.previous.pt")["step"] < 5
    output = done(train_in(tmp_path, "one", 5, [*settings, "train.save_every=1000000"]))
    assert "Instead: " in output and "step_000005.png" in output and "step_000006.png" not in output


def test_a_learning_rate_out_of_range_names_no_state_that_does_not_exist(tmp_path):
    settings = [*TINY, "train.learning_rate=1e300", "train.warmup_steps=0", "train.log_every=1"]
    refused(
        train(tmp_path / "run", "--max_steps", 9, settings=settings), "is not finite", "no state was saved before it"
    )
    assert not (tmp_path / "run" / "trainer_state.pt").exists()


def test_moved_pictures_are_the_same_run_and_others_are_not(tmp_path):
    dice = np.random.default_rng(0)
    for name in ("here", "others"):
        (tmp_path / name).mkdir()
        for i in range(6):
            picture = dice.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / name / f"{i}.png")
    (tmp_path / "config.yaml").write_text("Train_Data:\n  Mine:\n    data: {image_size: 8}\n", encoding="utf-8")

    def train_on(folder, steps):
        words = [*TINY, f"data.data_path={tmp_path / folder}", f"data.cache_dir={tmp_path / 'cache'}", "model.channel_mult=[1]",
                 "model.attention_resolutions=[]", "model.num_res_blocks=1"]  # fmt: skip
        options = ("--max_steps", steps, "--config", tmp_path / "config.yaml")
        return train(tmp_path / "run", *options, data_name="Mine", settings=words)

    done(train_on("here", 1))
    (tmp_path / "here").rename(tmp_path / "there")
    output = done(train_on("there", 2))
    assert f"Changed since this run was last started: data.data_path: {tmp_path / 'here'} -> " in output
    refused(train_on("others", 3), "the pictures are not those that this run began with")


def test_two_trainings_do_not_share_a_folder(tmp_path):
    first = start_training(tmp_path / "run", "--max_steps", 100000, settings=SMALL)
    wait_for(lambda: (tmp_path / "run" / "trainer_state.pt").exists())
    refused(train(tmp_path / "run", "--max_steps", 9, settings=SMALL), "another process is training in", "--save_dir")
    first.kill(signal.SIGTERM)
    assert first.wait(30).returncode == 143


