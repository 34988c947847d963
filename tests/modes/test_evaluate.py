"""The mode evaluate and the extractor's training, run as a user runs them."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from diffusion import SampleInfo
from modes import MODES
from modes.model import load_model
from tests.features import CPU, SHIPPED
from tests.mode import run_mode
from tests.processes import ROOT, done, files, refused, run
from utils.errors import RequestError

# The modes, as processes


def test_evaluate_leaves_a_record_with_its_protocol_a_table_and_a_picture(tmp_path):
    output = done(run("test_solver.py", "--model_path", SHIPPED, "--test_mode", "evaluate", "--sample_info", "DDIM_2_0p0",
                      "--sample_num", 70, "--repeats", 2, "--seed", 5, "--save_dir", tmp_path))  # fmt: skip
    prefix = "mnist_mini_DDIM_2_0p0_"
    assert files(tmp_path) == [
        f"{prefix}{name}" for name in ("evaluate.json", "evaluate.md", "memorisation.png", "told_apart.png")
    ]
    record = json.loads((tmp_path / f"{prefix}evaluate.json").read_text())
    used = record["protocol"]
    assert (used["pictures"], used["repeats"], used["seeds"]) == (70, 2, [[5, 74], [75, 144]])
    assert used["reference"] == "mnist_mini, train split" and used["reference_pictures"] == 7000
    assert used["extractor"] == "digits" and len(used["extractor_sha256"]) == 12 and not used["comparable_with_papers"]
    assert (record["weights"], record["sampler"], record["network_calls"]) == ("ema", "DDIM_2_0p0", 2)
    assert record["floor"]["pictures"] == 70 and record["floor"]["held_out"] == "mnist_mini, test split"
    assert record["figures"]["fid"]["mean"] > record["floor"]["figures"]["fid"]["mean"] > 0
    assert len(record["figures"]["fid"]["each"]) == 2 and record["figures"]["fid"]["std"] > 0
    assert sum(record["figures"]["class_histogram"]) == 140
    assert record["floor"]["figures"]["read_as_asked"]["mean"] > 0.9 and "read_by" not in used  # by the digits' classifier
    assert sum(row["pictures"] for row in record["floor"]["by_class"].values()) == 1000
    told = record["told_apart"]
    assert told["pictures"] == 70 and told["interval"][0] <= told["accuracy"] <= told["interval"][1]
    assert "test_solver.py --model_path checkpoints" in record["command"]  # an absolute path under these tests
    for words in ("seeds 5 to 74, 75 to 144", "ema weights", "DDIM_2_0p0", "mnist_mini, train split", used["extractor_sha256"],
                  "Not comparable with papers", "floor", "told apart", "real: Mnist_Mini"):  # fmt: skip
        assert words in output and words in (tmp_path / f"{prefix}evaluate.md").read_text()
    assert "in pixels, drawn: quantiles 1%" in output
    assert Image.open(tmp_path / f"{prefix}memorisation.png").size == (1820, 1105)


def test_without_weights_inception_is_refused_and_nothing_is_left(tmp_path):
    refused(run("test_solver.py", "--model_path", SHIPPED, "--save_dir", tmp_path / "out", "--test_mode", "evaluate",
                "--extractor", "inception", environment={"TORCH_HOME": str(tmp_path / "none")}),
            "https://", "--inception_weights FILE")  # fmt: skip
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "mode, path, options, words",
    [
        ("evaluate", SHIPPED, {"sample_num": 64}, "64 pictures are too few.*--sample_num must be above 64"),
        (
            "evaluate",
            "checkpoints/emoji.safetensors",
            {"split": "test", "extractor": "digits"},
            "digits tells digits apart, and says nothing of emoji",
        ),
        ("likelihood", SHIPPED, {"likelihood_steps": 1001}, "--likelihood_steps 1001: the model knows 1000 steps"),
        ("likelihood", "checkpoints/emoji.safetensors", {}, "emoji has no test split: --split train"),
        ("reconstruct", "checkpoints/emoji.safetensors", {"split": "test"}, "emoji has no test split: --split train"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(tmp_path, mode, path, options, words):
    chosen = [load_model(path, device=CPU, precision="fp32"), SampleInfo.parse("DDIM_2_0p0")][: 1 + MODES[mode].sampler]
    with pytest.raises(RequestError, match=words) as error:
        run_mode(mode, *chosen, save_dir=str(tmp_path), **options)
    assert "\n" not in str(error.value) and os.listdir(tmp_path) == []


def test_the_likelihood_needs_no_torch_fidelity(tmp_path):
    blocked = "import sys; sys.modules['torch_fidelity'] = None; sys.argv[0] = 'test_solver.py'; import runpy; runpy.run_path('test_solver.py', run_name='__main__')"
    command = [sys.executable, "-c", blocked, "--model_path", SHIPPED, "--test_mode", "likelihood", "--sample_num", "2",
               "--likelihood_steps", "3", "--save_dir", str(tmp_path)]  # fmt: skip
    done(subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300))
    assert files(tmp_path) == ["mnist_mini_likelihood.json", "mnist_mini_likelihood.png"]


def test_without_the_requirement_one_line_says_how_to_install_it(tmp_path):
    blocked = "import sys; sys.modules['torch_fidelity'] = None; sys.argv[0] = 'test_solver.py'; import runpy; runpy.run_path('test_solver.py', run_name='__main__')"
    command = [
        sys.executable,
        "-c",
        blocked,
        "--model_path",
        SHIPPED,
        "--test_mode",
        "evaluate",
        "--save_dir",
        str(tmp_path),
    ]
    refused(subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300),
            "torch_fidelity", "pip install -r requirements-evaluate.txt")  # fmt: skip
