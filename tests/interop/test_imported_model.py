"""Everything of ours works on what was imported: the scripts as a user runs them, on a pipeline that diffusers wrote."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from interop import open_checkpoint
from tests.interop.pipelines import pipeline
from tests.processes import TINY, done, refused, run, train
from utils.checkpoints import load_checkpoint

GREY = {
    "sample_size": 28, "in_channels": 1, "out_channels": 1, "layers_per_block": 1, "block_out_channels": [8, 16], "norm_num_groups": 4,
    "down_block_types": ["DownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "UpBlock2D"], "downsample_padding": 0,
    "flip_sin_to_cos": False, "freq_shift": 1, "norm_eps": 1e-6, "attention_head_dim": 4,
}  # fmt: skip
SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.0009, "beta_end": 0.02}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    pipeline(GREY, SCALED).save_pretrained(folder / "ddpm-grey-28")
    output = done(run("interop/__main__.py", "from_diffusers", folder / "ddpm-grey-28", folder / "grey.safetensors"))
    assert f"Wrote:   {folder / 'grey.safetensors'}\n" in output
    return folder / "grey.safetensors"


def test_it_is_drawn_from(imported, tmp_path):
    sampler = "DPMPP_20_0p0"
    output = done(run("test_solver.py", "--model_path", imported, "--sample_info", sampler, "--sample_num", 2, "--save_dir", tmp_path))
    assert "ddpm-grey-28, step 0, ema weights" in output
    assert np.asarray(Image.open(tmp_path / f"grey_{sampler}_n2_final.png")).std() > 5


def test_real_pictures_are_interpolated_and_filled_in(imported, tmp_path):
    asked = ["--sample_info", "DDIM_3_0p0", "--sample_num", 1, "--data_name", "Mnist_Mini", "--save_dir", tmp_path]
    done(run("test_solver.py", "--model_path", imported, "--test_mode", "interpolate", "inpaint", *asked, "--mask", "half"))
    names = [path.name for path in tmp_path.glob("*.png")]
    assert any("interpolate" in name for name in names) and any("inpaint" in name for name in names), names


@pytest.mark.slow
def test_it_is_measured(imported, tmp_path):
    asked = ["--sample_info", "DDIM_2_0p0", "--sample_num", 70, "--data_name", "Mnist_Mini", "--split", "test", "--repeats", 1]
    done(run("test_solver.py", "--model_path", imported, "--test_mode", "evaluate", *asked, "--save_dir", tmp_path))
    (record,) = tmp_path.glob("*_evaluate.json")
    assert json.loads(record.read_text())["figures"]


def test_it_is_trained_on(imported, tmp_path):
    """A step so small that it leads nowhere shows where the training began."""
    settings = [setting for setting in TINY if not setting.startswith("model.")]
    still = [*settings, "train.optimizer=adam", "train.learning_rate=1e-12"]
    output = done(train(tmp_path / "run", "--start_from", imported, "--max_steps", 1, settings=still))
    assert f"Starting from {imported}, step 0." in output
    before, after = open_checkpoint(imported), load_checkpoint(tmp_path / "run/model.safetensors")
    torch.testing.assert_close(after.state_dict, before.state_dict, rtol=0, atol=1e-9)
    assert after.settings.model == before.settings.model and after.settings.diffusion == before.settings.diffusion
    assert (after.step, after.settings.data_name) == (1, "Mnist_Mini")
    output = done(train(tmp_path / "run", "--start_from", imported, "--max_steps", 2, settings=still))
    assert "Going on from step 1." in output and "Starting from" not in output


def test_a_training_on_is_refused_in_one_line(imported, tmp_path):
    refused(train(tmp_path / "run", "--start_from", tmp_path / "none.safetensors"), "none.safetensors", "does not exist")
    wider = ["--start_from", imported, "--set", "model.num_res_blocks=2"]
    refused(train(tmp_path / "run", *wider, settings=[]), str(imported), "tensors differ", "missing for")
    assert not (tmp_path / "run").exists()
