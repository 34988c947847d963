"""OpenMP's threads: told to sleep while they wait before torch is loaded, and no more of them than pay."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils import threads
from utils.threads import VALUES_A_THREAD, pick_threads, use_threads, wait_passively

SCRIPTS = {
    "train_solver": ["--data_name", "Mnist_Mini", "--dry_run", "--device", "cpu", "--config", "config.yaml"],
    "test_solver": ["--model_path", "nowhere.safetensors"],
}
MODULES = {
    "datasets": ["Emoji", "--config", "config.yaml"],
    "interop": ["card", "nowhere.safetensors"],
    "sampling.schedule": ["nowhere.safetensors", "DPMPP_2"],
}
# The script runs as a user types it, and says what OpenMP is told at the moment that torch begins to load.
WATCH = """
import os, runpy, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.meta_path.remove(self)
            print("policy", os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT"))
sys.meta_path.insert(0, Watch())
sys.argv = sys.argv[1:]
sys.path.insert(0, ".")
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    if "torch" in sys.modules:
        print("threads", sys.modules["torch"].get_num_threads())
"""

# Of a program of benchmarks/, as `python FILE` finds its modules. It ends where it would load torch, which takes long.
STOP = WATCH.replace('sys.meta_path.remove(self)', "").replace('"GOMP_SPINCOUNT"))', '"GOMP_SPINCOUNT"), flush=True)\n            os._exit(0)')
STOP = STOP.replace('sys.path.insert(0, ".")', "sys.path[0] = os.path.dirname(sys.argv[0])")
STOP_MODULE = STOP.replace("sys.path[0] = os.path.dirname(sys.argv[0])", 'sys.path.insert(0, ".")').replace("run_path(", "run_module(")
ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = [
    str(path.relative_to(ROOT))
    for path in sorted((ROOT / "benchmarks").rglob("*.py"))
    if "sys.path.insert" in (text := path.read_text(encoding="utf-8")) and "__main__" in text
]


def watched(script, *arguments, code=WATCH, **variables):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "MKL_", "KMP_"))
    }
    command = [sys.executable, "-c", code, script, *arguments]
    return subprocess.run(command, env=environment | variables, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.parametrize("script", SCRIPTS)
def test_waiting_threads_sleep_unless_the_user_says_otherwise(script):
    lines = watched(f"{script}.py", *SCRIPTS[script])
    assert "policy passive None" in lines
    if script == "train_solver":
        assert lines[-1] == "threads 1"  # the digits' network is a small one
    lines = watched(f"{script}.py", *SCRIPTS[script], GOMP_SPINCOUNT="10", OMP_NUM_THREADS="2")
    assert "policy None 10" in lines and lines[-1] == "threads 2"


@pytest.mark.parametrize("program", PROGRAMS)
def test_so_do_those_of_the_benchmarks(program):
    """By importing `benchmarks` before torch; some load none before they have looked at their arguments."""
    lines = [line for line in watched(program, "--help", code=STOP) if line.startswith("policy")]
    assert lines == ["policy passive None"] or (not lines and "torch" not in imports_at_once(program)), lines


@pytest.mark.parametrize("module", MODULES)
def test_so_do_those_of_the_modules_that_are_run(module):
    lines = watched(module, *MODULES[module], code=STOP_MODULE)
    assert [line for line in lines if line.startswith("policy")] == ["policy passive None"]


def imports_at_once(program):
    lines = (ROOT / program).read_text(encoding="utf-8").splitlines()
    return {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}


def test_there_are_programs_to_look_at():
    assert len(PROGRAMS) >= 14 and "benchmarks/train_throughput.py" in PROGRAMS


def test_nothing_is_set_twice(monkeypatch):
    for name in threads.WAIT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    wait_passively()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("KMP_BLOCKTIME", "200")
    wait_passively()
    assert "OMP_WAIT_POLICY" not in os.environ


@pytest.mark.parametrize(
    "values, expected", [(0, 1), (VALUES_A_THREAD * 2 - 1, 1), (VALUES_A_THREAD * 3, 3), (10**9, 8)]
)
def test_threads_follow_from_the_network_alone(values, expected):
    assert pick_threads(values, 8) == expected and pick_threads(values, 1) == 1


def test_what_the_user_set_stands(monkeypatch):
    import torch

    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert use_threads(128, 128, 32 * 32) == before == torch.get_num_threads()


def test_a_network_that_is_drawn_from_computes_on_the_threads_that_pay_for_its_batch(monkeypatch):
    import torch

    from interop.checkpoints import open_checkpoint
    from sampling import load_trained

    for name in threads.NUMBER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    path = f"{ROOT}/checkpoints/mnist_mini.safetensors"
    trained = load_trained(open_checkpoint(path), path, torch.device("cpu"))
    seen = []
    trained.model.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for size in (2, 75):  # 14 x 14 x 48 values a picture: 75 of them pay for two threads
            trained.network(torch.zeros(size, 1, 28, 28), torch.zeros(size, dtype=torch.int64))
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2]
