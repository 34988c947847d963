"""Requests that cannot be met: exit status 2, one line that names the thing and the remedy, nothing left behind.

Loading torch takes seconds, so most of the table runs the scripts' own `parse_args`, `main` and `run_script` in this
process, each in a fresh folder; what a process alone can show (hooks, the exit status, full disks) has processes of its own.
"""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import test_solver
import train_solver
from tests.bad_files import write_checkpoints, write_configs, write_pictures
from tests.bad_requests import CONFIG, DRAWINGS, ROOT, SHIPPED, TRAIN, TRAININGS, sets
from utils.checkpoints import load_state
from utils.script import run_script

SECONDS = 8  # of this process's time; a few on a busy machine


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything below `folder`, links not followed, with size and time of change."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if not path.is_dir() or path.is_symlink() or not any(path.iterdir())
    }


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Runs a script on arguments it must refuse, with `words` in its one line; gives the line."""

    def check(script, arguments, *words) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [f"{script.__name__}.py", *map(str, arguments)])
        monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # run_script's ends with the test
        handler = signal.getsignal(signal.SIGINT)
        start = time.process_time()
        with pytest.raises(SystemExit) as end:
            run_script(lambda: script.main(script.parse_args()))
        seconds = time.process_time() - start
        signal.signal(signal.SIGINT, handler)
        line = one_line(capsys.readouterr().err, end.value.code, *words)
        assert seconds < SECONDS, seconds
        assert list(tmp_path.iterdir()) == []
        return line

    return check


def one_line(stderr: str, status: int, *words) -> str:
    assert status == 2, (status, stderr)
    assert stderr.endswith("\n") and stderr.count("\n") == 1 and stderr.startswith("error: "), stderr
    for word in words:
        assert word in stderr, (word, stderr)
    return stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the files of the table lie; nothing in it may change."""
    folder = tmp_path_factory.mktemp("place")
    write_checkpoints(folder)
    write_pictures(folder)
    write_configs(folder)
    os.mkfifo(folder / "pipe.safetensors")
    os.mkfifo(folder / "pipe.pt")
    (folder / "loop.safetensors").symlink_to(folder / "loop.safetensors")
    (folder / "file").write_text("")
    before = tree(folder)
    yield folder
    assert tree(folder) == before


@pytest.mark.parametrize("name", TRAININGS)
def test_trainings_that_cannot_be_met(name, refused, place):
    arguments, words = TRAININGS[name]
    if "--config" not in arguments:
        arguments = [*arguments, "--config", CONFIG]
    if "--device" not in arguments:
        arguments = [*arguments, "--device", "cpu"]
    at = [text.replace("{place}", str(place)) for text in arguments]
    refused(train_solver, at, *(word.replace("{place}", str(place)) for word in words))


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_that_cannot_be_met(name, refused, place):
    arguments, words = DRAWINGS[name]
    if "--model_path" not in arguments:
        arguments = [*arguments, *SHIPPED]
    if "--device" not in arguments:
        arguments = [*arguments, "--device", "cpu"]
    at = [text.replace("{place}", str(place)) for text in arguments]
    refused(test_solver, at, *(word.replace("{place}", str(place)) for word in words))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there(refused):
    for script, arguments in ((train_solver, [*TRAIN, "--config", CONFIG]), (test_solver, SHIPPED)):
        refused(script, [*arguments, "--device", "cuda"], "--device cuda", "--device cpu or auto")


def test_there_are_at_least_sixty():
    assert len(TRAININGS) + len(DRAWINGS) >= 60


# In processes of their own

TINY = sets("model.base_channels=8", "model.norm_groups=4", "train.batch_size=4", "sample.sample_num=1", "sample.sample_info=DDIM_1_0p0", "train.log_every=1")  # fmt: skip
IN_NAMESPACE = ["unshare", "--map-root-user", "--mount", "sh", "-c"]  # its mounts end with it


def can_mount() -> bool:
    try:
        command = [*IN_NAMESPACE, "mount -t tmpfs tmpfs /mnt"]
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


needs_mounts = pytest.mark.skipif(not can_mount(), reason="this machine lets us mount nothing")


def command(script, *arguments):
    return [sys.executable, str(ROOT / f"{script}.py"), *map(str, arguments)]


def in_process(arguments, cwd, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, **options)


def last_line(process, *words) -> None:
    """As `one_line`, of a script that had begun: the progress bar was there before."""
    lines = [line.strip() for part in process.stderr.splitlines() for line in part.split("\r")]
    assert "Traceback" not in process.stderr and "Exception ignored" not in process.stderr, process.stderr
    one_line("".join(f"{line}\n" for line in lines if line and "/s" not in line), process.returncode, *words)


def test_the_scripts_themselves_exit_with_2_and_one_line(tmp_path):
    for arguments, words in (
        (command("train_solver", "--data_name"), ["--data_name", "train_solver.py --help"]),
        (command("test_solver", *SHIPPED, "--sample_num", "abc"), ["--sample_num", "test_solver.py --help"]),
        (command("test_solver", *SHIPPED, "--sample_info", "DDIM"), ["'DDIM'", "METHOD_STEPS_ETA"]),
    ):
        process = in_process(arguments, tmp_path)
        one_line(process.stderr, process.returncode, *words)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", ["train_solver", "test_solver"])
def test_ctrl_c_while_loading_is_no_traceback(script, tmp_path):
    arguments = [*TRAIN, "--config", CONFIG] if script == "train_solver" else SHIPPED
    process = subprocess.Popen(
        command(script, *arguments),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background jobs ignore the signal, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    maps, deadline = Path(f"/proc/{process.pid}/maps"), time.time() + 60
    while "libtorch" not in maps.read_text() and time.time() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, b"")
    assert list(tmp_path.iterdir()) == []


@needs_mounts
def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "disk").mkdir()
    mount = 'mount -t tmpfs tmpfs disk && mount -o remount,ro disk && exec "$@"'
    arguments = command("train_solver", *TRAIN, "--config", CONFIG, *TINY, "--save_dir", "disk/run")
    process = in_process([*IN_NAMESPACE, mount, "sh", *arguments], tmp_path)
    one_line(process.stderr, process.returncode, "--save_dir", str(tmp_path / "disk"), "cannot be written to")
    assert os.listdir(tmp_path) == ["disk"]


@needs_mounts
@pytest.mark.parametrize(
    "size, file",
    [(8, "log.jsonl"), pytest.param(200, "trainer_state.pt", marks=pytest.mark.slow), (1400, "trainer_state.pt")],
)
def test_a_disk_that_is_full_while_training(tmp_path, size, file):
    """The smallest disk has no room for the log, the next none for a state, the last none for a second one beside it."""
    (tmp_path / "disk").mkdir()
    look = "import sys; from utils.checkpoints import load_state; print('step', load_state(sys.argv[1])['step'])"
    mount = f"""mount -t tmpfs -o size={size}k tmpfs disk || exit 99
        "$@"; status=$?
        find disk -name '*.tmp'
        if [ -e disk/run/trainer_state.pt ]; then PYTHONPATH={ROOT} {sys.executable} -c "{look}" disk/run/trainer_state.pt; fi
        exit $status"""
    arguments = [
        *TRAIN,
        "--config",
        CONFIG,
        *TINY,
        "--save_dir",
        "disk/run",
        "--max_steps",
        3,
        *sets("train.save_every=2"),
    ]
    process = in_process([*IN_NAMESPACE, mount, "sh", *command("train_solver", *arguments)], tmp_path)
    last_line(process, str(tmp_path / "disk/run" / file), "No space left", "make room")
    assert ".tmp" not in process.stdout
    assert ("step 2" in process.stdout) == (size == 1400)  # the state of before is there, and whole


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_an_output_that_takes_no_more(tmp_path):
    with open("/dev/full", "w") as full:
        arguments = command("test_solver", *SHIPPED, "--sample_info", "DDIM_1_0p0", "--sample_num", 1)
        process = subprocess.run(arguments, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    last_line(process, "the output", "No space left")


@pytest.mark.slow
def test_a_file_that_may_not_be_so_large(tmp_path):
    """Its limit is torch's to find, and torch does not say which it was."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (400 * 1024, 400 * 1024))

    good = [*TRAIN, "--config", CONFIG, *TINY, "--max_steps", 1, "--save_dir"]
    assert in_process(command("train_solver", *good, "run"), tmp_path).returncode == 0
    process = in_process(command("train_solver", *good, "run", "--max_steps", 2), tmp_path, preexec_fn=limit)
    last_line(process, str(tmp_path / "run/trainer_state.pt"), "ulimit -f")
    assert load_state(tmp_path / "run/trainer_state.pt")["step"] == 1


@pytest.mark.parametrize("shortage", [lambda: torch.empty(2**50), lambda: np.empty(2**50)])
def test_a_lack_of_memory_says_what_to_lower(refused, shortage, monkeypatch):
    """torch reports it as a RuntimeError, numpy as a MemoryError."""
    monkeypatch.setattr(test_solver, "load_model", lambda *_, **__: shortage())
    refused(test_solver, SHIPPED, "memory", "train.batch_size", "--batch_size")


def test_mistakes_of_ours_are_not_hidden():
    def mistake():
        raise RuntimeError("a shape is wrong")

    with pytest.raises(RuntimeError, match="a shape is wrong"):
        run_script(mistake)
