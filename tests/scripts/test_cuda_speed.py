"""What must hold on a GPU for it to be kept busy. Run by: bash tests/run.sh -m cuda"""

from contextlib import contextmanager, nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from diffusion import SampleInfo, build_diffusion, sample
from models import build_model
from sampling.network import sampling_network
from tests.processes import TINY, done, run, start_training, train, wait_for
from tests.small_training import ALONE, make_trainer
from training.ema import EMA
from training.monitor import TrainingMonitor
from training.optimizers import build_optimizer, muon_updates
from training.step import StepOptions, train_step
from utils.checkpoints import load_checkpoint, load_state
from utils.compiling import capture_function
from utils.precision import at_precision, cast_weights
from utils.seeds import PictureNoise

pytestmark = pytest.mark.cuda
CUDA = torch.device("cuda")
SHIPPED = "checkpoints/mnist_mini.safetensors"


@contextmanager
def nothing_waits():
    """An error for every call that waits until the GPU has done what it was given."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


class OnGpu:
    """One rank, on the GPU."""

    device, rank, size = CUDA, 0, 1
    rows, sync_gradients_when = ALONE.rows, ALONE.sync_gradients_when


def trainer_on_gpu():
    trainer = make_trainer("model.dropout=0.1")
    trainer.model.to(CUDA)
    trainer.ema = EMA(trainer.model, 0.9)
    trainer.optimizer = torch.optim.Adam(trainer.model.parameters(), fused=True)
    trainer.monitor = TrainingMonitor(1000, CUDA)
    return trainer


def take_steps(count, trainer, network, diffusion, batches, options):
    """Of which the first two may wait, and the others must not."""
    for step in range(count):
        with nullcontext() if step < 2 else nothing_waits():
            train_step(trainer, network, diffusion, batches, options, OnGpu())
        trainer.step += 1


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_training_step_waits_for_nothing(accumulate, optimizer):
    trainer = trainer_on_gpu()
    if optimizer == "muon":
        rates = {"learning_rate": 1e-3, "muon_learning_rate": 5e-3, "betas": (0.9, 0.99)}
        trainer.optimizer = build_optimizer("muon", trainer.model, **rates)
        trainer.optimizer.updates = capture_function(muon_updates, "auto", trainer.model, CUDA)
    diffusion = build_diffusion(timestep_num=1000, beta_schedule="cosine").to(CUDA)
    images = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8, device=CUDA)
    batches, options = dict.fromkeys(range(3), (images, None)), StepOptions(0, 6, accumulate, grad_clip=1.0)
    network = at_precision(trainer.model, "bf16", CUDA)
    take_steps(3, trainer, network, diffusion, batches, options)


@pytest.mark.parametrize("text", ["DDPM_6_0p0", "DDIM_6_1p0", "DPMPP_6_1p0", "HEUN_6_0p0", "UNIPC_6_0p0"])
def test_drawing_waits_for_nothing(text):
    model = build_model(image_size=8, image_channel=1, base_channels=8, channel_mult=[1, 2], num_res_blocks=1, norm_groups=4,
                        attention_resolutions=[4], num_heads=2, patch_size=1, num_classes=0, dropout=0.0).to(CUDA).eval()  # fmt: skip
    cast_weights(model, "bf16", CUDA)
    diffusion = build_diffusion(timestep_num=100, beta_schedule="cosine").to(CUDA)
    network = sampling_network(at_precision(model, "bf16", CUDA), diffusion)
    for watched in (False, True):
        noise = PictureNoise(range(4))
        x_T = noise(torch.empty(4, 1, 8, 8, device=CUDA))
        if watched:
            with nothing_waits():
                sample(network, diffusion, x_T, SampleInfo.parse(text), noise_like=noise)
        else:
            sample(network, diffusion, x_T, SampleInfo.parse(text), noise_like=noise)


@pytest.mark.parametrize("channels_last", [False, True])
def test_attention_runs_in_a_fused_kernel(channels_last):
    model = build_model(image_size=16, image_channel=3, base_channels=64, channel_mult=[1], num_res_blocks=1, norm_groups=32,
                        attention_resolutions=[16], num_heads=2, patch_size=1, num_classes=0, dropout=0.0).to(CUDA)  # fmt: skip
    if channels_last:
        model.to(memory_format=torch.channels_last)
    x, t = torch.randn(2, 3, 16, 16, device=CUDA), torch.zeros(2, dtype=torch.int64, device=CUDA)
    fused = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION]
    with sdpa_kernel(fused):
        at_precision(model, "bf16", CUDA)(x, t).sum().backward()  # an error where only the plain mathematics would do


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_normalisation_is_float32s_rounded(dtype, channels_last):
    from models.blocks import GroupNorm

    norm = GroupNorm(4, 16).to(CUDA)
    norm.weight.data.normal_()
    x = torch.randn(2, 16, 8, 8, device=CUDA).to(dtype)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cuda", dtype=dtype):
        found = norm(x)
    assert found.dtype == dtype
    expected = F.group_norm(x.float(), 4, norm.weight, norm.bias)
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)


def test_a_training_goes_between_the_cpu_and_the_gpu(tmp_path):
    options = [*TINY, "run.precision=fp32", "run.channels_last=false"]
    for folder, devices in (("gpu", ["cuda"] * 3), ("mixed", ["cpu", "cuda", "cpu"])):
        for end, device in zip((2, 4, 6), devices):
            layout = "true" if device == "cuda" else "false"
            done(train(tmp_path / folder, "--max_steps", end, "--device", device, settings=[*options, f"run.channels_last={layout}"]))
    states = [load_state(tmp_path / name / "trainer_state.pt") for name in ("gpu", "mixed")]
    assert states[0]["step"] == states[1]["step"] == 6
    # Each device draws its own noise, so that the trainings differ; the moments, Adam's and Muon's, are of one size.
    for one, other in zip(*(state["optimizer"]["state"].values() for state in states)):
        assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in other.items()}
        assert all(value.isfinite().all() for value in other.values())


def test_deterministic_and_compiled_runs_are_equal_bit_for_bit(tmp_path):
    options = [*TINY, "run.deterministic=true", "run.compile=true", "model.dropout=0.1"]
    for name in "ab":
        done(train(tmp_path / name, "--max_steps", 4, "--device", "cuda", settings=options))
    first, second = (load_checkpoint(tmp_path / name / "model.safetensors").state_dict for name in "ab")
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_killed_training_goes_on(tmp_path):
    options = [*TINY, "train.save_every=5"]
    running = start_training(tmp_path / "run", "--device", "cuda", settings=options)
    wait_for(lambda: (tmp_path / "run" / "trainer_state.pt").exists())
    running.kill(9)
    running.process.join()
    step = load_state(tmp_path / "run" / "trainer_state.pt")["step"]
    assert f"Going on from step {step:,}" in done(
        train(tmp_path / "run", "--device", "cuda", "--max_steps", step + 2, settings=options)
    )


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
@pytest.mark.parametrize("mode", ["evaluate", "interpolate", "likelihood", "compare", "reconstruct"])
def test_every_mode_runs_on_the_device(tmp_path, mode, precision):
    if mode in ("evaluate", "compare"):
        pytest.importorskip("torch_fidelity")
    options = {"evaluate": ["--sample_num", 80], "compare": ["--sample_num", 80], "likelihood": ["--sample_num", 4, "--likelihood_steps", 4],
               "interpolate": ["--sample_num", 2], "reconstruct": ["--sample_num", 2]}[mode]  # fmt: skip
    sampler = [] if mode == "likelihood" else ["--sample_info", "DDIM_4_0p0"]
    assert "Wrote:" in done(run("test_solver.py", "--model_path", SHIPPED, "--test_mode", mode, *sampler, *options, "--device", "cuda",
                                "--precision", precision, "--save_dir", tmp_path))  # fmt: skip
