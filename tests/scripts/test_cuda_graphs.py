"""What CUDA graphs must give on a GPU: what the network gives as it is written. Run by: bash tests/run.sh -m cuda"""

from functools import partial

import pytest
import torch

from diffusion import SampleInfo, build_diffusion
from models import build_model
from sampling.drawing import draw
from tests.processes import TINY, done, run, train
from tests.scripts.test_cuda_speed import CUDA, SHIPPED, take_steps, trainer_on_gpu
from training.optimizers import muon_updates
from training.step import StepOptions
from training.trial import trial_step
from utils.checkpoints import load_checkpoint
from utils.compiling import capture_function, capture_in_place, compile_in_place
from utils.precision import at_precision, cast_weights

pytestmark = pytest.mark.cuda


@pytest.fixture(autouse=True)
def same_algorithms(monkeypatch):
    """cuDNN takes the same algorithm each time, so that the same sums are rounded in the same order."""
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_training_by_graphs_is_the_training_and_waits_for_nothing(accumulate, precision, capsys):
    states = []
    for captured in (False, True):
        trainer = trainer_on_gpu()
        diffusion = build_diffusion(timestep_num=1000, beta_schedule="cosine").to(CUDA)
        images = torch.arange(640, device=CUDA).remainder(251).to(torch.uint8).view(10, 1, 8, 8)
        batches, options = dict.fromkeys(range(6), (images, None)), StepOptions(0, 10, accumulate, grad_clip=1.0)
        if captured:
            trial = partial(trial_step, trainer.model, precision, CUDA, -(-10 // accumulate), 10, (8, 8))
            assert compile_in_place(trainer.model, "auto", CUDA, 10, try_out=trial)
        network = at_precision(trainer.model, precision, CUDA)
        take_steps(6, trainer, network, diffusion, batches, options)
        if captured:
            assert len(trainer.model._compiled_call_impl.graphs) == 1
        states.append([trainer.model.state_dict(), trainer.ema.model.state_dict()])
    assert "Not captured" not in capsys.readouterr().out
    torch.testing.assert_close(states[1], states[0], rtol=1e-4, atol=1e-5)


def test_muons_updates_by_a_graph_are_its_updates(capsys):
    shapes = [(48, 24, 3, 3), (48, 48, 3, 3), (96, 48), (48, 96), (96, 96, 3, 3), (192, 48)]
    captured = capture_function(muon_updates, "auto", torch.nn.Linear(1, 1), CUDA)
    for seed in range(4):
        stream = torch.Generator(CUDA).manual_seed(seed)
        gradients = [torch.randn(shape, device=CUDA, generator=stream) * 10.0**-seed for shape in shapes]
        gradients[1] = gradients[1].to(memory_format=torch.channels_last)
        torch.testing.assert_close(captured(*gradients), muon_updates(*gradients), rtol=1e-4, atol=1e-5)
    assert captured.inputs and not capsys.readouterr().out


@pytest.mark.parametrize("text", ["DDPM_12_0p0", "DPMPP_12_1p0", "HEUN_12_0p0", "UNIPC_12_0p0_cfg2p0", "DDIM_12_0p0_cfg2p0t20t60"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_drawn_by_graphs_is_what_is_drawn(text, precision, capsys):
    torch.manual_seed(0)
    model = build_model(image_size=8, image_channel=1, base_channels=8, channel_mult=[1, 2], num_res_blocks=1, norm_groups=4,
                        attention_resolutions=[4], num_heads=2, patch_size=1, num_classes=2, dropout=0.0).to(CUDA).eval()  # fmt: skip
    torch.nn.init.normal_(model.out[-1].weight, std=0.1)
    cast_weights(model, precision, CUDA)
    diffusion = build_diffusion(timestep_num=100, beta_schedule="cosine").to(CUDA)
    network = at_precision(model, precision, CUDA)

    def pictures():
        info, labels = SampleInfo.parse(text), [0, 1, 0, 1, 0]
        return draw(network, diffusion, info, range(5), (1, 8, 8), CUDA, labels=labels, num_classes=2)

    expected = pictures()
    assert capture_in_place(model, "auto", CUDA)
    found = [pictures(), pictures()]
    assert model._compiled_call_impl.graphs and "Not captured" not in capsys.readouterr().out
    for each in found:
        assert (each.int() - expected.int()).abs().max() <= 1  # of 255


def test_both_scripts_capture_small_networks(tmp_path):
    """Equal bit for bit where algorithms are deterministic, resumed or not; and nothing is said of a failure."""
    options = [*TINY, "run.deterministic=true", "model.dropout=0.1", "train.log_every=1"]
    for name, ends in (("straight", [6]), ("stopped", [3, 6])):
        for end in ends:
            out = done(train(tmp_path / name, "--max_steps", end, "--device", "cuda", settings=options))
            assert "Not captured" not in out and "Compiling" not in out
    first, second = (load_checkpoint(tmp_path / name / "model.safetensors").state_dict for name in ("straight", "stopped"))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    for compile in ("auto", "no"):
        out = done(run("test_solver.py", "--model_path", SHIPPED, "--sample_num", 20, "--batch_size", 8, "--sample_info", "DDIM_10_0p0",
                       "--compile", compile, "--device", "cuda", "--save_dir", tmp_path / compile))  # fmt: skip
        assert "Not captured" not in out
