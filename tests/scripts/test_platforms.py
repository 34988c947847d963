"""Windows and macOS, as far as they can be had here: without the modules and functions that they lack."""

import copy
import os
import subprocess
import sys

import pytest
import torch

import diffusion.clipping
import diffusion.gaussian
import utils.device
from diffusion import SampleInfo, build_diffusion, self_condition
from models import build_model
from sampling.drawing import draw
from tests.apple import APPLE, AppleDevice
from tests.processes import ROOT, TINY, files
from training.ema import EMA
from training.monitor import TrainingMonitor
from utils.distributed import Ranks

# torch and psutil are loaded first: on this system they may use what is then taken away from this project.
WITHOUT = """
import os, runpy, signal, sys
import psutil, torch
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for module, names in (
    (os, ("sysconf", "mkfifo", "statvfs", "link", "fork", "getuid", "geteuid", "sched_getaffinity", "uname")),
    (signal, ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGALRM")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.argv = sys.argv[1:]
sys.path.insert(0, ROOT)
runpy.run_path(os.path.join(ROOT, sys.argv[0]), run_name="__main__")
"""


def run_without(script, *arguments):
    program = f"ROOT = {ROOT!r}\n{WITHOUT}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::EncodingWarning", "-X", "warn_default_encoding", "-c", program, script]
    process = subprocess.run(
        [*command, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_both_scripts_run_without_what_windows_lacks(tmp_path):
    """A training, the same gone on with, and a drawing; text is read and written in a named encoding."""
    options = [word for setting in TINY for word in ("--set", setting)]
    arguments = ["--data_name", "Mnist_Mini", "--save_dir", tmp_path / "run", "--device", "cpu", *options]
    run_without("train_solver.py", *arguments, "--max_steps", 1)
    output = run_without("train_solver.py", *arguments, "--max_steps", 2)
    assert "Going on from step 1" in output and "trainer_state.previous.pt" in files(tmp_path / "run")
    model = [
        "--model_path",
        tmp_path / "run" / "model.safetensors",
        "--device",
        "cpu",
        "--save_dir",
        tmp_path / "drawn",
    ]
    run_without("test_solver.py", *model, "--sample_info", "DDIM_2_0p0", "--sample_num", 2, "--save_images")
    assert len([name for name in files(tmp_path / "drawn") if name.endswith(".png")]) == 4


@pytest.fixture
def apple(monkeypatch):
    """The device of tests/apple.py, which the code takes for one without float64."""
    for module in (diffusion.clipping, diffusion.gaussian, utils.device):
        monkeypatch.setattr(module, "WITHOUT_FLOAT64", (APPLE.type,))
    with AppleDevice():
        yield APPLE


def test_the_device_refuses_what_apples_refuses(apple):
    x = torch.ones(2, 3, device=apple)
    assert x.device == apple and (x @ x.T).sum().item() == 12 and x.cpu().device.type == "cpu"
    for wrong in (
        lambda: torch.zeros(3, dtype=torch.float64, device=apple),
        lambda: torch.zeros(3, dtype=torch.float64).to(apple),
        lambda: torch.tensor(1.0, dtype=torch.float64, device=apple),
        lambda: x.double(),
        lambda: x.to(torch.float64),
        lambda: x.new_zeros(3, dtype=torch.float64),
    ):
        with pytest.raises(TypeError, match="float64"):
            wrong()
    with pytest.raises(RuntimeError, match="same device"):
        x + torch.ones(3)


SMALL = {"base_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "attention_resolutions": [4], "num_heads": 4,
         "dropout": 0.1, "norm_groups": 4, "patch_size": 1}  # fmt: skip


@pytest.mark.parametrize(
    "options, sampler",
    [
        ({"weighting": "min_snr"}, "DDIM_3_1p0"),
        ({"objective": "pred_v", "weighting": "p2", "clip_denoised": "dynamic"}, "HEUN_3_0p0"),
        ({"objective": "pred_x0", "variance": "learned"}, "DDPM_3_0p0"),
        ({"self_condition": True, "loss_type": "huber"}, "DPMPP_3_1p0"),
        ({"variance": "fixed_large", "network_input": "x_u"}, "UNIPC_3_0p0_logsnr"),
    ],
)
def test_a_step_and_a_drawing_make_no_float64_on_the_device(apple, options, sampler):
    """And they are those of the CPU, where the tables are float64."""
    process = build_diffusion(timestep_num=20, beta_schedule="cosine", **options)
    shape = {"image_size": 8, "image_channel": 1, "self_condition": process.self_condition}
    torch.manual_seed(0)
    model = build_model(**shape, learned_variance=process.variance == "learned", **SMALL)
    with torch.no_grad():
        model.out[-1].weight.normal_(std=0.1)  # it begins with zeros, with which nothing would be compared
    x_0, noise, t = torch.rand(4, 1, 8, 8) * 2 - 1, torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 10, 19])
    found = {}
    for device in (torch.device("cpu"), apple):
        network, ema, monitor = copy.deepcopy(model).to(device).eval(), EMA(model, 0.9), TrainingMonitor(20, device)
        ema.model.to(device)
        optimizer, moved = torch.optim.Adam(network.parameters()), process.to(device)
        inputs = x_0.to(device), t.to(device), noise.to(device)
        losses = moved.training_losses(self_condition.for_training(network, moved, True), *inputs)
        losses.mean().backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        ema.update(network, 0)
        monitor.note_losses(inputs[1], losses.detach())
        monitor.note_gradient(0, norm, scaled=False)
        assert monitor.first_nonfinite_step() is None
        bound = moved.bound_terms(network(*self_conditioned(moved, inputs)), inputs[0], inputs[0], inputs[1])
        drawn = draw(network, moved, SampleInfo.parse(sampler), range(3), (1, 8, 8), device)
        figures = monitor.figures(Ranks("cpu"))
        found[device.type] = (losses.detach().cpu(), bound.detach().cpu(), drawn.float(), figures)
    torch.testing.assert_close(found[APPLE.type], found["cpu"], rtol=1e-4, atol=1e-5)


def self_conditioned(process, inputs):
    """x_t and t as the network takes them, with an estimate of nothing where it wants one."""
    x_0, t, _ = inputs
    return (torch.cat([x_0, torch.zeros_like(x_0)], dim=1) if process.self_condition else x_0), t
