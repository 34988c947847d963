"""benchmarks/gpu.sh, with a stand-in for Python: what is done stays done, and what is left is said."""

import argparse
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ["pytest", "train_throughput", "sample_throughput", "profile_step", "formulations", "time_to_quality.py --epochs",
            "time_to_quality.py --guided", "solvers", "memory", "data_pipeline"]  # fmt: skip


def commands():
    """What the script runs on a GPU, in its order: the words of each command."""
    text = (ROOT / "benchmarks/gpu.sh").read_text()
    steps = re.search(r"steps=\(\n(.*?)\n\)", text, re.DOTALL)[1]
    lines = [line.strip().strip('"').replace("$results", "benchmarks/results").replace("$device", "cuda") for line in steps.split("\n")]
    return [shlex.split(line)[1:] for line in lines]


def test_the_page_lists_the_same_in_the_same_order():
    page = (ROOT / "benchmarks/README.md").read_text().split("## On a GPU")[1].split("```bash\n")[1].split("```")[0]
    listed = [shlex.split(line, comments=True) for line in page.splitlines()]
    listed = [[word for word in words if word not in ("--device", "cuda") or words[0] == "bash"] for words in listed]
    asked = [[*words[:4]] if words[0] == "bash" else words for words in commands()]  # the page's tests need not be one at a time
    assert listed == asked


class Parsed(Exception):
    """The command line was read, and nothing is run."""


@pytest.mark.parametrize("words", [words for words in commands() if words[0] == "python"], ids=" ".join)
def test_todays_programs_take_its_options(words, monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, *args):
        raise Parsed(parse(self, *args))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [*words[1:], "--device", "cuda"])
    program = importlib.import_module(words[1].removesuffix(".py").replace("/", "."))
    with pytest.raises(Parsed) as parsed:
        program.main()
    assert parsed.value.args[0].device == "cuda"


def test_no_command_writes_over_anothers_figures():
    files = [words[words.index("--output") + 1] if "--output" in words else words[1] for words in commands()]
    names = [Path(file).stem.removesuffix("_cuda") for file in files]
    assert len(set(names)) == len(names)


@pytest.fixture
def script(tmp_path):
    """Runs it with a Python that notes what it is given, and fails where that holds the word."""
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\ncase "$FAILS" in "") exit 0 ;; esac\ncase "$*" in *$FAILS*) exit 3 ;; esac\n'
    )
    python.chmod(0o755)

    def call(fails="", minutes="30"):
        (tmp_path / "calls").write_text("")
        environment = os.environ | {"PYTHON": str(python), "LOGS": str(tmp_path / "logs"), "MINUTES": minutes, "FAILS": fails}
        end = subprocess.run(["bash", "benchmarks/gpu.sh"], env=environment, capture_output=True, text=True, cwd=ROOT)
        calls = (tmp_path / "calls").read_text()
        return end, [name for name in PROGRAMS if any(name in line and "-m pip" not in line for line in calls.splitlines())]

    return call


def test_it_goes_on_with_what_is_left(script):
    end, run = script(fails="memory.py")
    assert end.returncode == 1 and run == PROGRAMS
    assert [line for line in end.stdout.splitlines() if line.startswith("Left:")] == [
        next(line for line in end.stdout.splitlines() if "memory: see" in line)
    ]
    end, run = script()
    assert end.returncode == 0 and run == ["memory"] and "Nothing is left" in end.stdout
    end, run = script()
    assert end.returncode == 0 and run == []


def test_when_the_time_is_over_nothing_is_begun(script):
    end, run = script(minutes="0")
    assert end.returncode == 1 and run == [] and end.stdout.count("not begun") == len(PROGRAMS)


def test_without_a_usable_device_nothing_is_measured(script):
    end, run = script(fails="torch.device")
    assert end.returncode == 2 and run == [] and "PyTorch cannot use cuda" in end.stderr
