"""The shell scripts: where an environment is made, when it is remade, and that nothing happens where none is needed."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Stands for a Python without the requirements. Beside it lie the names of the files that it meets, and `venv` if it is
# the Python of a virtual environment; pip adds to the first, and `-m venv` makes the second.
BARE = """#!/usr/bin/env bash
echo "$0 $*" >>"$LOG"
here=$(dirname "$0")
files=$(for word in "$@"; do case "$word" in *.txt) echo "$word" ;; esac; done)
case "$*" in
    -c*base_prefix*) test -e "$here/venv" ;;
    -c*version_info*) exit 0 ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && touch .venv/bin/venv ;;
    *--dry-run*) for file in $files; do test -e "$here/$file" || exit 1; done ;;
    "-m pip install"*) test -z "$BROKEN" && for file in $files; do touch "$here/$file"; done ;;
    *) echo "ran: $*" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """The shell scripts and requirements, and a bare Python beside them."""
    requirements = ("requirements.txt", "requirements-dev.txt", "requirements-demo.txt")
    for name in ("run_train.sh", "run_demo.sh", "tests/run.sh", ".ci/run", "utils/environment.sh", *requirements):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(os.path.join(ROOT, name), tmp_path / name)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "python3").write_text(BARE)
    (tmp_path / "bare" / "python3").chmod(0o755)
    return tmp_path


def run_train(checkout, *arguments, script="run_train.sh", **variables):
    log = checkout / "log"
    log.write_text("")
    environment = {
        **os.environ,
        "PYTHON": str(checkout / "bare" / "python3"),
        "LOG": str(log),
        "BROKEN": "",
        "WITH_BROWSER": "",
        **variables,
    }
    process = subprocess.run(
        ["bash", script, *arguments], cwd=checkout, env=environment, capture_output=True, text=True
    )
    return process, log.read_text()


def test_an_environment_is_made_once_and_remade_when_the_requirements_change(checkout):
    process, log = run_train(checkout, "--max_steps", "5")
    assert process.returncode == 0 and "-m venv .venv" in log and installed(log)
    assert process.stdout.splitlines()[-1] == "ran: train_solver.py --data_name Mnist_Mini --max_steps 5"
    process, log = run_train(checkout, DATA_NAME="Emoji")
    assert (
        process.stdout == "ran: train_solver.py --data_name Emoji\n" and "venv .venv" not in log and not installed(log)
    )
    with open(checkout / "requirements.txt", "a") as file:
        file.write("scipy>=1.14\n")
    process, log = run_train(checkout)
    assert process.returncode == 0 and "-m venv .venv" in log and installed(log)


def test_an_interrupted_installation_is_begun_again(checkout):
    process, _ = run_train(checkout, BROKEN="1")
    assert process.returncode == 2 and not (checkout / ".venv" / "requirements.stamp").exists()
    process, log = run_train(checkout)
    assert process.returncode == 0 and "-m venv .venv" in log


def installed(log):
    """What pip really installed, by the fake's log."""
    return [line for line in log.splitlines() if "pip install" in line and "--dry-run" not in line]


@pytest.mark.parametrize("venv", [True, False])
def test_an_interpreter_that_meets_the_requirements_is_used_as_it_is(checkout, venv):
    (checkout / "bare" / "requirements.txt").touch()
    if venv:
        (checkout / "bare" / "venv").touch()
    process, log = run_train(checkout)
    assert process.stdout == "ran: train_solver.py --data_name Mnist_Mini\n"
    assert "venv .venv" not in log and not installed(log) and not (checkout / ".venv").exists()


def test_the_tests_add_what_they_need_to_the_virtual_environment_at_hand(checkout):
    for name in ("requirements.txt", "venv"):
        (checkout / "bare" / name).touch()
    process, log = run_train(checkout, "-k", "x", script="tests/run.sh")
    assert process.returncode == 0 and process.stdout.splitlines()[-1] == "ran: -m pytest -n auto -k x"
    assert "requirements-dev.txt" in installed(log)[0] and not (checkout / ".venv").exists()
    process, log = run_train(checkout, script="tests/run.sh")
    assert process.stdout == "ran: -m pytest -n auto\n" and not installed(log)


def test_the_tests_leave_an_interpreter_that_is_no_virtual_environment_as_it_is(checkout):
    (checkout / "bare" / "requirements.txt").touch()
    process, log = run_train(checkout, script="tests/run.sh")
    assert process.returncode == 0 and all(".venv/bin/python" in line for line in installed(log))
    assert sorted(os.listdir(checkout / "bare")) == ["python3", "requirements.txt"]
    assert {"requirements.txt", "requirements-dev.txt"} <= set(os.listdir(checkout / ".venv" / "bin"))
    process, log = run_train(checkout, script="tests/run.sh")
    assert process.stdout == "ran: -m pytest -n auto\n" and not installed(log) and "venv .venv" not in log


@pytest.mark.parametrize(
    "model_path, arguments, words",
    [
        ("", [], ""),
        ("", ["--host", "0.0.0.0", "--auth", "me:secret"], " --host 0.0.0.0 --auth me:secret"),
        ("a.safetensors runs/b", ["--port", "80"], " --model_path a.safetensors runs/b --port 80"),
    ],
)
def test_the_page_is_opened_with_what_it_needs_and_what_it_is_given(checkout, model_path, arguments, words):
    """HOST, which some shells and toolchains set, is none of it: the page stays on this machine."""
    for name in ("requirements.txt", "venv"):
        (checkout / "bare" / name).touch()
    variables = {"MODEL_PATH": model_path, "HOST": "x86_64-linux-gnu"}
    process, log = run_train(checkout, *arguments, script="run_demo.sh", **variables)
    assert process.returncode == 0 and process.stdout.splitlines()[-1] == f"ran: demo.py{words}"
    assert len(installed(log)) == 1 and "requirements-demo.txt" in installed(log)[0]
    process, log = run_train(checkout, *arguments, script="run_demo.sh", **variables)
    assert process.stdout == f"ran: demo.py{words}\n" and not installed(log)


# A machine of Debian's without Chromium, whose `apt-get` does not do what is in FAILS, and then says why.
TOOLS = ("bash", "dirname", "cat", "cksum", "touch", "timeout", "chmod", "env")
APT_GET = """#!/usr/bin/env bash
echo "apt-get $*" >>"$LOG"
case " $* " in *" $FAILS "*) echo "E: no $FAILS" >&2; exit 100 ;; esac
case "$*" in
    *--download-only*) touch "$TOOLS/fetched" ;;
    install*) test -e "$TOOLS/fetched" && for name in chromium chromedriver; do touch "$TOOLS/$name" && chmod +x "$TOOLS/$name"; done ;;
esac
"""


@pytest.mark.parametrize(
    "script, variables, installs, note",
    [
        ("tests/run.sh", {}, False, ""),
        ("tests/run.sh", {"WITH_BROWSER": "1"}, True, ""),
        (".ci/run", {}, True, ""),
        (".ci/run", {"WITH_BROWSER": "0"}, False, ""),
        (".ci/run", {"FAILS": "update"}, True, ""),
        (".ci/run", {"FAILS": "--download-only"}, False, "E: no --download-only"),
        (".ci/run", {"FAILS": "install"}, False, "E: no install"),
        (".ci/run", {"HAS_APT": ""}, False, "apt-get"),
    ],
)
def test_chromium_is_installed_for_the_tests_where_that_is_asked_for(checkout, script, variables, installs, note):
    for name in ("requirements.txt", "requirements-dev.txt"):
        (checkout / "bare" / name).touch()
    tools = checkout / "tools"
    tools.mkdir()
    for name in TOOLS:
        os.symlink(shutil.which(name), tools / name)
    if variables.get("HAS_APT", "1"):
        (tools / "apt-get").write_text(APT_GET)
        (tools / "apt-get").chmod(0o755)
    given = {"PATH": str(tools), "TOOLS": str(tools), "FAILS": "nothing", **variables}
    process, log = run_train(checkout, script=script, **given)
    asked = " -m not slow or browser" if script == ".ci/run" else ""
    assert process.returncode == 0 and process.stdout.splitlines()[-1] == f"ran: -m pytest -n auto{asked}"
    assert ("apt-get" in log) == (installs or "FAILS" in variables)
    assert (tools / "chromium").exists() == (tools / "chromedriver").exists() == installs
    notes = process.stderr.splitlines()
    assert len(notes) == bool(note) and all("its tests are skipped" in line and note in line for line in notes)
    process, log = run_train(checkout, script=script, **given)
    assert process.returncode == 0 and ("apt-get" in log) == ("FAILS" in variables and not installs)


@pytest.mark.parametrize(
    "requirement, met",
    [
        ("pip>=1", True),
        ("pip>=9999", False),
        ("no-such-package-here>=1", False),
        ("# nothing", True),
        ("-r more.txt", False),
    ],
)
def test_what_is_met_is_what_pip_says_without_fetching(tmp_path, requirement, met):
    """Of a real interpreter; also where a place to fetch from is configured, and holds what is missing."""
    (tmp_path / "requirements.txt").write_text(f"{requirement}\n")
    (tmp_path / "more.txt").write_text("no-such-package-here\n")
    with zipfile.ZipFile(tmp_path / "no_such_package_here-1-py3-none-any.whl", "w") as wheel:
        about = "no_such_package_here-1.dist-info/"
        wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\nName: no-such-package-here\nVersion: 1\n")
        wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(about + "RECORD", "")
    environment = {**os.environ, "PYTHON": sys.executable, "PIP_FIND_LINKS": str(tmp_path)}
    command = f". {ROOT}/utils/environment.sh && meets requirements.txt"
    process = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (process.returncode == 0) == met and process.stdout == process.stderr == ""


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
        f"mnist_mini_DDIM_2_0p0_n2_{kind}" for kind in ("final.png", "interpolate.png", "progress.gif", "progress.png")
    ]
    assert os.path.exists(os.path.join(ROOT, ".venv")) == had_environment
