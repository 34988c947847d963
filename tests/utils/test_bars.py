"""Progress bars where no one watches, and what Ctrl-C says."""

import signal
import sys
import time

import pytest

from tests.processes import Script, files, wait_for
from utils import bars
from utils.bars import interrupt_says, progress_bar


def test_what_is_soon_done_says_nothing_in_a_pipe(capsys):
    with progress_bar(1000, "step") as bar:
        for _ in range(1000):
            bar.set_postfix_str("something else each time")
            bar.update()
        bar.write("a line of its own", file=sys.stderr)
    assert capsys.readouterr().err == "a line of its own\n"


def test_in_a_pipe_a_bar_is_lines_that_are_far_apart(capsys, monkeypatch):
    monkeypatch.setattr(bars, "PIPE_SECONDS", 0.2)
    start = time.time()
    with progress_bar(700, "step", initial=100) as bar:
        for _ in range(600):
            time.sleep(0.001)
            bar.update()
    seconds = time.time() - start
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= seconds / 0.2 + 1  # and one at the end
    assert all("/700 [" in line and "\r" not in line for line in lines) and "700/700" in lines[-1]


def test_an_invisible_bar_prints_nothing(capsys, monkeypatch):
    monkeypatch.setattr(bars, "PIPE_SECONDS", 0.0)
    with progress_bar(10, "step", visible=False) as bar:
        bar.update(10)
    assert capsys.readouterr().err == ""


def test_an_interrupt_carries_its_line():
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"), interrupt_says("the same command goes on"):
        raise KeyboardInterrupt


def drawing(folder, *options):
    return Script("test_solver.py", "--model_path", "checkpoints/mnist_mini.safetensors", "--sample_info", "DDIM_20_0p0", "--sample_num", 1000,
                  "--batch_size", 16, "--save_dir", folder, *options)  # fmt: skip


def test_ctrl_c_while_drawing_says_that_the_same_command_goes_on(tmp_path):
    script = drawing(tmp_path, "--save_images")
    wait_for(lambda: len(files(tmp_path)) > 16)
    script.kill(signal.SIGINT)
    ended = script.wait()
    line = f"Stopped: what was drawn is in {tmp_path}/mnist_mini_DDIM_20_0p0_images; the same command goes on from there\n"
    assert (ended.returncode, ended.stderr) == (130, line)
