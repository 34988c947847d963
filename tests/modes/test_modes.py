"""The table of modes: that it is what the modes take, and that nothing slow stands in the way of reading it."""

import importlib
import inspect
import os
import shutil
import subprocess
import sys

import pytest

from diffusion.sample_info import METHODS
from diffusion.schedules import SPACINGS
from modes import MODES, options
from modes.__main__ import answer
from modes.options import OPTIONS, modes_of
from tests.processes import ROOT, done, files, refused, run

SHIPPED = "checkpoints/mnist_mini.safetensors"


@pytest.mark.parametrize("name", MODES)
def test_a_mode_takes_exactly_its_options(name):
    mode = MODES[name]
    parameters = inspect.signature(importlib.import_module(f"modes.{name}").run).parameters.values()
    keywords = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    assert set(keywords) == {*mode.options, *(["ranks"] if mode.shared else [])}
    chosen = [parameter.name for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
    assert chosen == ([["model", "models"][mode.several]] + [["sampler", "samplers"][mode.several]] * mode.sampler)
    assert set(mode.options) <= OPTIONS.keys()


def test_every_module_of_a_mode_is_in_the_table():
    helpers = {"__init__", "__main__", "options", "model", "real_data", "kept_pictures"}
    assert {name.removesuffix(".py") for name in files(f"{ROOT}/modes") if name.endswith(".py")} - helpers == set(MODES)


def test_the_help_needs_no_torch_and_names_modes_samplers_and_examples():
    code = (
        "import sys, runpy; sys.argv = ['test_solver.py', '--help']\n"
        "try: runpy.run_path('test_solver.py', run_name='__main__')\n"
        "finally: print('LOADED', sorted({'torch', 'numpy', 'pydantic', 'PIL'} & sys.modules.keys()))"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0 and "LOADED []" in process.stdout, process.stderr
    lines = [line.strip() for line in process.stdout.splitlines()]
    for name, mode in MODES.items():
        assert f"{name:<12} {mode.help}" in lines
    assert [line.split()[1] for line in lines if line.startswith("python ")] == ["test_solver.py"] * 3
    assert f"methods: {', '.join(METHODS)}; spacings: {', '.join(SPACINGS)}" in lines
    for name in OPTIONS:
        assert f"--{name}" in process.stdout


def test_bounds_of_the_table_and_those_of_the_samplers_are_the_same():
    assert (", ".join(METHODS), ", ".join(SPACINGS)) == (options.SAMPLERS, options.SPACINGS)
    assert set(MODES) - set(modes_of("sample_info")) == {"likelihood", "report"}
    assert modes_of("model_path") == tuple(MODES) and modes_of("split") == ("reconstruct", "evaluate", "likelihood")


def test_what_run_test_asks_of_the_table():
    assert answer("requirements", ["random_gen"]) == ["requirements.txt"]
    assert answer("requirements", ["compare", "evaluate"]) == ["requirements.txt", "requirements-evaluate.txt"]
    assert not {"sample_num", "sample_info", "data_name"} & set(answer("options", ["report"]))
    assert {"sample_num", "sample_info", "repeats"} <= set(answer("options", ["report", "evaluate"]))
    assert answer("options", ["dream"]) == list(OPTIONS)


def test_several_modes_follow_one_another_each_with_its_options(tmp_path):
    output = done(run("test_solver.py", "--model_path", SHIPPED, "--test_mode", "random_gen", "reconstruct", "--sample_info", "DDIM_2_0p0",
                      "--sample_num", 2, "--data_name", "Mnist_Mini", "--save_dir", tmp_path))  # fmt: skip
    prefix = "mnist_mini_DDIM_2_0p0_n2_"
    assert files(tmp_path) == [
        f"{prefix}{name}" for name in ("final.png", "progress.gif", "progress.png", "reconstruct.json", "reconstruct.png")
    ]
    assert output.count("Model:") == 1 and output.count("Sampler:") == 2
    refused(run("test_solver.py", "--model_path", SHIPPED, "--test_mode", "random_gen", "report", "--split", "test"),
            "--split belongs to --test_mode reconstruct or evaluate or likelihood, not random_gen report")  # fmt: skip


def test_variables_of_run_test_go_only_to_the_modes_that_take_them(tmp_path):
    """A report takes no number of pictures, no sampler and no size."""
    (tmp_path / "a run").mkdir()
    shutil.copy(os.path.join(ROOT, SHIPPED), tmp_path / "a run" / "model.safetensors")
    (tmp_path / "a run" / "log.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    variables = {"TEST_MODE": "reconstruct report", "SAMPLE_NUM": "2", "SAMPLE_INFO": "DDIM_2_0p0", "IMAGE_SIZE": "28"}
    variables |= {"MODEL_PATH": f"{tmp_path}/a run/model.safetensors", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = ["bash", "run_test.sh", "--save_dir", tmp_path / "out"]
    options = {"cwd": ROOT, "env": {**os.environ, **variables}, "capture_output": True, "text": True, "timeout": 120}
    done(subprocess.run(command, **options))
    drawn = [f"a run_DDIM_2_0p0_n2_reconstruct.{kind}" for kind in ("json", "png")]
    assert files(tmp_path / "out") == [*drawn, "a run_report.html"]
    page = (tmp_path / "out" / "a run_report.html").read_text(encoding="utf-8")
    assert "2 pictures of mnist_mini, train split, encoded and drawn again; ema weights" in page and "psnr" in page
    options["env"]["TEST_MODE"] = "dream"
    refused(subprocess.run(command, **options), "--test_mode: invalid choice: 'dream'")
