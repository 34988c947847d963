"""What the measuring modes give does not depend on how many processes share their work."""

import json

import pytest

from evaluation import drawn
from tests.processes import done, files, run, torchrun
from utils.distributed import share_out

pytest.importorskip("torch_fidelity")
SHIPPED = ["checkpoints/mnist_mini.safetensors", "checkpoints/mnist_mini_v.safetensors"]
SHORT = ["--sample_info", "DDIM_2_0p0", "--precision", "fp32", "--device", "cpu", "--batch_size", 20]
MODES = {
    "evaluate": ["--model_path", SHIPPED[0], "--sample_num", 70, *SHORT],
    "compare": ["--model_path", *SHIPPED, "--sample_num", 12, "--repeats", 2, *SHORT[:-1], 5],
    "likelihood": ["--model_path", SHIPPED[0], "--sample_num", 7, "--likelihood_steps", 4, "--batch_size", 2, "--precision", "fp32"],
}  # fmt: skip


def figures_in(folder):
    """All that was measured, by file; what says when and by which command it was is left out."""
    found = {}
    for name in files(folder):
        if name.endswith(".json"):
            record = json.loads((folder / name).read_text())
            found[name] = {key: value for key, value in record.items() if key not in ("command", "seconds_a_picture")}
    return found


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", MODES)
def test_several_processes_measure_what_one_does(tmp_path, mode, processes):
    arguments = ["--test_mode", mode, *MODES[mode]]
    done(run("test_solver.py", *arguments, "--save_dir", tmp_path / "one"))
    ends = torchrun(processes, "test_solver.py", *arguments, "--save_dir", tmp_path / "several")
    assert "Wrote:" in done(ends[0]) and not any(done(end) for end in ends[1:])
    assert files(tmp_path / "one") == files(tmp_path / "several")
    one, several = figures_in(tmp_path / "one"), figures_in(tmp_path / "several")
    assert one and one == several


class OfThree:
    """The second of three ranks, as `share_out` sees them; the others' answers are made here too."""

    size, rank = 3, 1

    def __init__(self, items, work):
        self.answers = [[work(item) for item in items[rank::3]] for rank in range(3)]

    def all_gather(self, mine):
        assert mine == self.answers[self.rank]
        return self.answers


@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_shared_work_comes_back_in_its_order(count):
    items, done_here = list(range(count)), []

    def work(item):
        done_here.append(item)
        return item * item

    ranks = OfThree(items, lambda item: item * item)
    assert share_out(ranks, items, work) == [item * item for item in items]
    assert done_here == items[1::3]
    assert share_out(None, items, work) == [item * item for item in items]
    assert drawn.share_out is share_out
