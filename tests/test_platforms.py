"""Windows and macOS, as far as they can be had here: without the modules and functions that they lack."""

import os
import subprocess
import sys

import pytest

from tests.processes import ROOT, TINY, files

# torch and psutil are loaded first: on this system they may use what is then taken away from this project.
WITHOUT = """
import os, runpy, signal, sys
import psutil, torch
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for module, names in (
    (os, ("sysconf", "mkfifo", "statvfs", "link", "fork", "getuid", "geteuid", "sched_getaffinity", "uname")),
    (signal, ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGALRM")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.argv = sys.argv[1:]
sys.path.insert(0, ROOT)
runpy.run_path(os.path.join(ROOT, sys.argv[0]), run_name="__main__")
"""


def run_without(script, *arguments):
    program = f"ROOT = {ROOT!r}\n{WITHOUT}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::EncodingWarning", "-X", "warn_default_encoding", "-c", program, script]
    process = subprocess.run(
        [*command, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_both_scripts_run_without_what_windows_lacks(tmp_path):
    """A training, the same gone on with, and a drawing; text is read and written in a named encoding."""
    options = [word for setting in TINY for word in ("--set", setting)]
    arguments = ["--data_name", "Mnist_Mini", "--save_dir", tmp_path / "run", "--device", "cpu", *options]
    run_without("train_solver.py", *arguments, "--max_steps", 1)
    output = run_without("train_solver.py", *arguments, "--max_steps", 2)
    assert "Going on from step 1" in output and "trainer_state.previous.pt" in files(tmp_path / "run")
    model = [
        "--model_path",
        tmp_path / "run" / "model.safetensors",
        "--device",
        "cpu",
        "--save_dir",
        tmp_path / "drawn",
    ]
    run_without("test_solver.py", *model, "--sample_info", "DDIM_2_0p0", "--sample_num", 2, "--save_images")
    assert len([name for name in files(tmp_path / "drawn") if name.endswith(".png")]) == 4
