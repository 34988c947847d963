"""Flow matching and EDM, each trained and drawn from as a user does."""

import json

import pytest

from tests.processes import TINY, done, run, train
from utils.checkpoints import load_checkpoint

FORMULATIONS = {
    "flow": (
        ["diffusion.beta_schedule=flow", "diffusion.objective=pred_flow", "diffusion.shift=2", "diffusion.zero_terminal_snr=true",
         "diffusion.network_input=x_u", "diffusion.loss_of_clipped=false", "train.timestep_logit_normal=[0.0, 1.0]"],
        "DDIM_2_0p0",
    ),
    "edm": (
        ["diffusion.objective=pred_edm", "diffusion.weighting=edm", "diffusion.loss_of_clipped=false",
         "train.timestep_logit_normal=null", "train.timestep_log_normal=[-1.2, 1.2]"],
        "EDM_2_0p5_karras",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULATIONS)
def test_a_short_training_and_what_it_draws(tmp_path, name):
    overrides, sampler = FORMULATIONS[name]
    done(train(tmp_path / name, "--max_steps", "3", settings=[*TINY, *overrides, "train.log_every=1"]))
    lines = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 3 and all(0 < loss < 10 for loss in losses)
    settings = load_checkpoint(tmp_path / name / "model.safetensors").settings.diffusion
    assert settings.shift == (2.0 if name == "flow" else 1.0)
    model = ["--model_path", tmp_path / name / "model.safetensors", "--save_dir", tmp_path / "drawn", "--sample_num", "2"]
    done(run("test_solver.py", *model, "--sample_info", sampler, "--test_mode", "random_gen", "interpolate"))
    assert {path.name.rpartition("_")[2] for path in (tmp_path / "drawn").glob(f"{name}_{sampler}*.png")} >= {
        "final.png", "interpolate.png"
    }  # fmt: skip
