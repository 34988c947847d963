"""The programs that compare with the peers: their arithmetic, that the work is the same, and that each runs."""

import json
import subprocess
import sys

import pytest
import torch

from benchmarks import tables
from benchmarks.side_by_side import flops, ratio, take_turns
from tests.processes import ROOT
from utils.config import load_settings


def test_turns_are_taken_in_a_turning_order():
    called = []
    contestants = {name: (lambda name=name: called.append(name)) for name in "abc"}
    seconds = take_turns(contestants, 3, "cpu", "wall", warm_up=1)
    assert "".join(called) == "abc" + "abc" + "bca" + "cab"
    assert all(len(times) == 3 and min(times) >= 0 for times in seconds.values())


def test_a_ratio_is_the_median_over_rounds():
    seconds = {"ours": [1.0, 2.0, 1.0], "theirs": [2.0, 3.0, 9.0]}
    assert ratio(seconds, "ours", "theirs") == 2.0
    assert ratio(seconds, "ours", "ours") == 1.0


def test_flops_of_a_matrix_product():
    assert flops(lambda: torch.zeros(3, 5) @ torch.zeros(5, 7)) == 2 * 3 * 5 * 7


@pytest.mark.parametrize(
    "data_name, attentions, width", [("Cifar10", 6, 256), ("Mnist_Mini", 1, 48), ("Flower102", 6, 256)]
)
def test_the_networks_of_ours_and_diffusers_match(data_name, attentions, width):
    """Parameter for parameter: theirs has biases of queries, keys and values besides. Flowers: one block is 512 wide."""
    from benchmarks.contestants import unet_2d
    from models import build_model

    unconditional = ["model.num_classes=0", "sample.sample_info=DDIM_50_0p0"]
    settings = load_settings("config.yaml", data_name, unconditional)
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in network.parameters())
            for network in (build_model(**settings.model_arguments()), unet_2d(settings))
        ]
    biases = 3 * (attentions * width + (256 if data_name == "Flower102" else 0))
    assert counts[1] - counts[0] == biases
    if data_name == "Cifar10":
        assert counts == [35_741_699, 35_746_307]


def test_tables_are_those_of_the_results():
    pages = [path.read_text(encoding="utf-8") for path in tables.PAGES]
    assert [tables.updated(page) for page in pages] == pages, "run: python benchmarks/tables.py"
    assert sum(len(tables.PLACE.findall(page)) for page in pages) >= 8


def test_a_table_shows_three_digits_and_where_it_was_measured():
    machine = {"device": "CPU", "cpu": "x", "cores": 2, "threads": 1, "load": 0.5, "versions": {"torch": "2"}}
    rows = [{"name": "a", "rate": 1234.5}, {"name": "b", "rate": 0.012345, "more": 7}]
    text = tables.table({"rows": rows, "machine": machine, "command": "c", "date": "d", "clock": "cpu", "steps": 5})
    assert "| a | 1,234 |  |" in text and "| b | 0.0123 | 7 |" in text
    assert "`c`, d, the process's own processor seconds; steps 5. CPU: x, 1 of 2 cores, load 0.5; torch 2." in text


def result_of(tmp_path, program: str, *options: str) -> dict:
    """What `program` writes, run as a user runs it."""
    output = tmp_path / "result.json"
    command = [sys.executable, f"benchmarks/{program}.py", "--device", "cpu", "--output", str(output), *options]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    result = json.loads(output.read_text())
    assert result["machine"]["versions"]["torch"] == torch.__version__.split("+")[0]
    assert f"benchmarks/{program}.py" in result["command"]
    return result


def test_data_pipeline(tmp_path):
    options = ("--pictures", "24", "--size", "8", "--batch_size", "4", "--batches", "2", "--rounds", "1")
    rows = result_of(tmp_path, "data_pipeline", *options)["rows"]
    assert len(rows) == 4 and all(row["pictures_per_second"] > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("program", ["train_throughput", "sample_throughput"])
def test_throughput(tmp_path, program):
    pytest.importorskip("denoising_diffusion_pytorch")
    options = ["--sizes", "tiny", "--rounds", "2"] + (["--steps", "2"] if program == "sample_throughput" else [])
    rows = result_of(tmp_path, program, *options)["rows"]
    assert [row["contestant"] for row in rows][:1] == ["ours"] and len(rows) == 5
    for row in rows:
        assert row["pictures_per_second"] > 0 and 0 < row["share_of_matmul_rate"] < 1.2, row
        assert (row["ours_times_as_fast"] is None) == (row["contestant"] == "ours")


@pytest.mark.slow
def test_memory(tmp_path):
    pytest.importorskip("denoising_diffusion_pytorch")
    rows = result_of(tmp_path, "memory", "--size", "tiny")["rows"]
    assert len(rows) == 6 and all(row["peak_mib"] >= 0 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("guided, words", [([], ""), (["--guided"], ", guided")])
def test_time_to_quality(tmp_path, guided, words):
    pytest.importorskip("denoising_diffusion_pytorch")
    pytest.importorskip("torch_fidelity")
    options = ["--folder", str(tmp_path), "--marks", "2", "--slice", "1", "--epochs", "0.02", "--pictures", "128", *guided]
    options += ["--steps", "2", "--peer_dim", "8", "--peer_batch", "16"]
    rows = result_of(tmp_path, "time_to_quality", *options)["rows"]
    assert {row["contestant"] for row in rows} == {f"ours{words}, 0.02 epochs", f"denoising-diffusion-pytorch{words}"}
    assert all(row["fid"] > 0 and ("read_as_asked" in row) == bool(guided) for row in rows)
