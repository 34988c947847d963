"""What must hold on a GPU. Run by: bash tests/run.sh -m cuda"""

import pytest
import torch

from diffusion import SAMPLERS, SampleInfo, build_diffusion
from models import build_model
from tests.processes import TINY, done, run, train
from utils.checkpoints import load_checkpoint, load_weights
from utils.drawing import draw

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("method", SAMPLERS)
def test_a_picture_is_the_same_on_both_devices(method):
    """The noise is drawn on the CPU for both; what differs is the arithmetic."""
    checkpoint = load_checkpoint("checkpoints/mnist_mini.safetensors")
    model = build_model(**checkpoint.settings.model_arguments()).eval()
    load_weights(model, checkpoint.weights, "mnist_mini")
    diffusion = build_diffusion(**checkpoint.settings.diffusion.model_dump())
    info = SampleInfo(method, 10, 0.0)
    pictures = [
        draw(model.to(device), diffusion.to(device), info, range(8), (1, 28, 28), torch.device(device)).float()
        for device in ("cpu", "cuda")
    ]
    assert (pictures[0] - pictures[1]).abs().mean() < 2  # of 255


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("compile", ["false", "true"])
def test_training_goes_on_and_draws(tmp_path, precision, compile):
    options = [*TINY, f"run.precision={precision}", f"run.compile={compile}", "train.log_every=1"]
    done(train(tmp_path / "run", "--max_steps", 3, "--device", "cuda", settings=options))
    assert "Going on from step 3" in done(
        train(tmp_path / "run", "--max_steps", 5, "--device", "cuda", settings=options)
    )
    model = tmp_path / "run" / "model.safetensors"
    done(
        run(
            "test_solver.py",
            "--model_path",
            model,
            "--sample_num",
            4,
            "--device",
            "cuda",
            "--save_dir",
            tmp_path / "out",
        )
    )
    assert not [name for name in load_checkpoint(model).weights if "_orig_mod" in name]
