"""What must hold on a GPU. Run by: bash tests/run.sh -m cuda"""

import pytest
import torch

from diffusion import SAMPLERS, SampleInfo, build_diffusion
from models import build_model
from sampling.drawing import draw
from tests.processes import TINY, done, run, torchrun, train
from utils.checkpoints import load_checkpoint, load_state
from utils.untrusted import load_weights

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("method", SAMPLERS)
def test_a_picture_is_the_same_on_both_devices(method):
    """The noise is drawn on the CPU for both; what differs is the arithmetic."""
    checkpoint = load_checkpoint("checkpoints/mnist_mini.safetensors")
    model = build_model(**checkpoint.settings.model_arguments()).eval()
    load_weights(model, checkpoint.state_dict, "mnist_mini")
    diffusion = build_diffusion(**checkpoint.settings.diffusion.model_dump())
    info = SampleInfo(method, 10, 0.0)
    pictures = [
        draw(model.to(device), diffusion.to(device), info, range(8), (1, 28, 28), torch.device(device)).float()
        for device in ("cpu", "cuda")
    ]
    assert (pictures[0] - pictures[1]).abs().mean() < 2  # of 255


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
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
    assert not [name for name in load_checkpoint(model).state_dict if "_orig_mod" in name]


def test_going_on_is_bit_for_bit_with_deterministic_algorithms(tmp_path):
    options = [*TINY, "run.deterministic=true", "train.log_every=1", "model.dropout=0.1"]
    done(train(tmp_path / "straight", "--max_steps", 6, "--device", "cuda", settings=options))
    done(train(tmp_path / "stopped", "--max_steps", 3, "--device", "cuda", settings=options))
    done(train(tmp_path / "stopped", "--max_steps", 6, "--device", "cuda", settings=options))
    first, second = (load_checkpoint(tmp_path / name / "model.safetensors") for name in ("straight", "stopped"))
    torch.testing.assert_close(first.state_dict, second.state_dict, rtol=0, atol=0)


def test_fp16_trains_with_its_scaler(tmp_path):
    options = [*TINY, "run.precision=fp16", "train.log_every=1"]
    done(train(tmp_path / "run", "--max_steps", 4, "--device", "cuda", settings=options))
    assert load_state(tmp_path / "run" / "trainer_state.pt")["scaler"]["scale"] > 1


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_the_run_of_one(tmp_path):
    options = [word for setting in TINY for word in ("--set", setting)]
    done(train(tmp_path / "one", "--max_steps", 4, "--device", "cuda"))
    for end in torchrun(
        2, "train_solver.py", "--data_name", "Mnist_Mini", "--save_dir", tmp_path / "two", "--max_steps", 4, *options
    ):
        done(end)
    first, second = (load_checkpoint(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    torch.testing.assert_close(first.state_dict, second.state_dict, rtol=1e-3, atol=1e-4)
