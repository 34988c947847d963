"""The shell scripts: where an environment is made, when it is remade, and that nothing happens where none is needed."""

import os
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Stands for a Python without the requirements: it makes environments whose Python has them once pip has run there.
BARE = """#!/usr/bin/env bash
echo "$0 $*" >>"$LOG"
case "$*" in
    -c*) exit 0 ;;
    utils/requirements.py*) test -e "$(dirname "$0")/installed" ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-m pip install"*) test -z "$BROKEN" && touch "$(dirname "$0")/installed" ;;
    *) echo "ran: $*" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """The shell scripts and requirements, and a bare Python beside them."""
    (tmp_path / "utils").mkdir()
    for name in ("run_train.sh", "utils/environment.sh", "utils/requirements.py", "requirements.txt"):
        shutil.copy(os.path.join(ROOT, name), tmp_path / name)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "python3").write_text(BARE)
    (tmp_path / "bare" / "python3").chmod(0o755)
    return tmp_path


def run_train(checkout, *arguments, **variables):
    log = checkout / "log"
    log.write_text("")
    environment = {
        **os.environ,
        "PYTHON": str(checkout / "bare" / "python3"),
        "LOG": str(log),
        "BROKEN": "",
        **variables,
    }
    process = subprocess.run(
        ["bash", "run_train.sh", *arguments], cwd=checkout, env=environment, capture_output=True, text=True
    )
    return process, log.read_text()


def test_an_environment_is_made_once_and_remade_when_the_requirements_change(checkout):
    process, log = run_train(checkout, "--max_steps", "5")
    assert process.returncode == 0 and "-m venv .venv" in log and "install" in log
    assert process.stdout.splitlines()[-1] == "ran: train_solver.py --data_name Mnist_Mini --max_steps 5"
    process, log = run_train(checkout, DATA_NAME="Emoji")
    assert (
        process.stdout == "ran: train_solver.py --data_name Emoji\n"
        and "venv .venv" not in log
        and "install" not in log
    )
    with open(checkout / "requirements.txt", "a") as file:
        file.write("scipy>=1.14\n")
    process, log = run_train(checkout)
    assert process.returncode == 0 and "-m venv .venv" in log and "install" in log


def test_an_interrupted_installation_is_begun_again(checkout):
    process, _ = run_train(checkout, BROKEN="1")
    assert process.returncode == 2 and not (checkout / ".venv" / "requirements.stamp").exists()
    process, log = run_train(checkout)
    assert process.returncode == 0 and "-m venv .venv" in log


def test_an_interpreter_that_meets_the_requirements_is_used_as_it_is(checkout):
    (checkout / "bare" / "installed").touch()
    process, log = run_train(checkout)
    assert process.stdout == "ran: train_solver.py --data_name Mnist_Mini\n"
    assert "venv .venv" not in log and "install" not in log and not (checkout / ".venv").exists()


def test_a_missing_python_is_one_line():
    environment = {**os.environ, "PYTHON": "/nowhere/python3"}
    process = subprocess.run(["bash", "run_train.sh"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert process.returncode == 2 and process.stderr.count("\n") == 1
    assert process.stderr.startswith("error: Python 3.10 or newer is needed; /nowhere/python3 is")


def test_inside_an_environment_that_meets_the_requirements_the_scripts_just_run(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    had_environment = os.path.exists(os.path.join(ROOT, ".venv"))
    options = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True}
    process = subprocess.run(["bash", "run_train.sh", "--dry_run"], **options)
    assert process.returncode == 0 and "7,000 pictures" in process.stdout, process.stderr
    environment |= {
        "SAMPLE_INFO": "DDIM_2_0p0",
        "SAMPLE_NUM": "2",
        "IMAGE_SIZE": "28",
        "IMAGE_CHANNEL": "1",
        "TRAINING_TIMESTEP_NUM": "1000",
    }
    process = subprocess.run(["bash", "run_test.sh", "--save_dir", tmp_path], **options)
    assert process.returncode == 0, process.stderr
    assert sorted(os.listdir(tmp_path)) == [
        f"mnist_mini_DDIM_2_0p0_{kind}" for kind in ("final.png", "interpolate.png", "progress.gif", "progress.png")
    ]
    assert os.path.exists(os.path.join(ROOT, ".venv")) == had_environment
