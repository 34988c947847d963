"""benchmarks/gpu.sh, with a stand-in for Python: what is done stays done, and what is left is said."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ["pytest", "train_throughput", "sample_throughput", "profile_step", "formulations", "time_to_quality", "solvers", "memory",
            "data_pipeline"]  # fmt: skip


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
