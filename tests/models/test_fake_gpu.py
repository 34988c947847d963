"""What a GPU would be given, seen without one: PyTorch's fake tensors have a device, a layout and a type, and no values."""

import subprocess
import sys
from collections import Counter

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from diffusion import GaussianDiffusion, Guidance, SampleInfo, build_diffusion, sample, samplers
from diffusion.sample_info import DETERMINISTIC, METHODS
from models import blocks, build_model
from sampling.inpainting import resample
from sampling.network import Known, sampling_network
from tests.processes import ROOT
from tests.small_training import ALONE, make_trainer
from training.ema import EMA
from training.monitor import TrainingMonitor
from training.step import StepOptions, train_step
from utils.config import load_settings
from utils.precision import at_precision, cast_weights

CUDA = torch.device("cuda")
FLOWERS = load_settings("config.yaml", "Flower102").model_arguments()
WAITS = ("_local_scalar_dense", "nonzero", "equal", "masked_select", "unique")  # for what the device is doing
COPIES = ("_to_copy", "copy_", "clone")


class Calls(TorchDispatchMode):
    """Counts the operators that are called, and the casts of `weights`. Views are not counted: they launch nothing."""

    def __init__(self, weights=()):
        super().__init__()
        self.counts, self.weights, self.weight_casts = Counter(), {id(weight) for weight in weights}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if function.namespace == "aten" and not function.is_view and name != "_unsafe_view":
            self.counts[name] += 1
        if name == "_to_copy" and id(args[0]) in self.weights:
            self.weight_casts += 1
        return function(*args, **(kwargs or {}))

    def of(self, names):
        return sum(self.counts[name] for name in names)


@pytest.fixture
def strides(monkeypatch):
    """An autocast that believes in CUDA; and the last strides of the q, k and v that the attention is given."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    seen = []

    def attention(q, k, v):
        seen.extend(x.stride(-1) for x in (q, k, v))
        return v.contiguous()

    monkeypatch.setattr(blocks, "attention", attention)
    return seen


def flowers(*, channels_last, cast):
    """A forward pass of Flower102's network in bf16, on a fake GPU: its output, and what was called."""
    with torch.device("meta"):
        model = build_model(**FLOWERS).eval()
    if channels_last:
        model.to(memory_format=torch.channels_last)
    if cast:
        cast_weights(model, "bf16", CUDA)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        weights = {
            name: torch.empty_strided(weight.shape, weight.stride(), dtype=weight.dtype, device=CUDA)
            for name, weight in model.named_parameters()
        }
        network = at_precision(lambda *inputs: functional_call(model, weights, inputs), "bf16", CUDA)
        x, t = torch.empty(4, 3, 64, 64, device=CUDA), torch.empty(4, dtype=torch.int64, device=CUDA)
        with Calls(weights.values()) as calls:
            output = network(x, t)
    assert output.device.type == "cuda" and output.dtype == torch.float32 and output.shape == x.shape
    return calls


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_forward_pass_when_drawing_casts_no_weight_and_launches_half_of_what_it_did(strides, channels_last):
    calls = flowers(channels_last=channels_last, cast=True)
    assert calls.weight_casts == 0
    assert sum(calls.counts.values()) <= 330, calls.counts  # 660 before
    assert calls.counts["_to_copy"] <= 10, calls.counts  # the input, the output, the time
    assert strides and set(strides) == {1}
    assert calls.of(WAITS) == 0


def test_a_forward_pass_of_training_casts_each_weight_once(strides):
    calls = flowers(channels_last=True, cast=False)
    weight_num = len(list(build_model(**FLOWERS).parameters()))
    assert 0 < calls.weight_casts <= weight_num
    assert calls.counts["_to_copy"] - calls.weight_casts <= 10, calls.counts


ETAS = {method: 0.0 if method in ("DDPM", *DETERMINISTIC) else 1.0 for method in METHODS}


@pytest.mark.parametrize("method", ETAS)
def test_every_sampler_stays_on_the_device(monkeypatch, method):
    # Small numbers that are computed on the CPU, for which fake tensors have no values.
    for place, name in ((GaussianDiffusion, "step_std"), (samplers, "_unipc_weights")):
        monkeypatch.setattr(place, name, with_values(getattr(place, name)))
    diffusion, info = build_diffusion(timestep_num=100, beta_schedule="cosine"), SampleInfo(method, 6, ETAS[method])
    pairs = diffusion.timestep_pairs(6)
    with FakeTensorMode(allow_non_fake_inputs=True):
        x_T = torch.empty(2, 1, 4, 4, device=CUDA)
        with Calls() as calls:
            drawn = sample(lambda x, t: 0.5 * x * (t > 0)[:, None, None, None], diffusion, x_T, info, pairs=pairs)
    assert drawn.device.type == "cuda" and calls.of(WAITS) == calls.of(COPIES) == 0, calls.counts


def with_values(function):
    def call(*inputs):
        with unset_fake_temporarily():
            return function(*inputs)

    return call


def test_the_rest_of_a_training_step_stays_on_the_device():
    """In a process of its own: after a fused step of fake tensors, PyTorch may crash at the next real ones."""
    code = "from tests.models.test_fake_gpu import rest_of_a_training_step; rest_of_a_training_step(); print('held', flush=True)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout == "held\n", ended.stderr


def rest_of_a_training_step():
    """All but the random draws, which need a GPU's generator; the backward pass is stood in for."""
    diffusion = build_diffusion(timestep_num=100, beta_schedule="cosine", variance="learned")
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device(CUDA):
            model = torch.nn.Conv2d(3, 6, 3, padding=1)
            x_0, t = torch.empty(4, 3, 8, 8), torch.empty(4, dtype=torch.int64)
            monitor = TrainingMonitor(100, CUDA)
        ema, optimizer = EMA(model, 0.9), torch.optim.Adam(model.parameters(), fused=True)
        diffusion.alpha_bar(t)  # the table goes there once
        with Calls() as calls:
            losses = diffusion.training_losses(lambda x, t: model(x), x_0, t, torch.empty_like(x_0))
            for parameter in model.parameters():
                parameter.grad = torch.empty_like(parameter)
            monitor.note_losses(t, losses.detach())
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            monitor.note_gradient(1, norm, scaled=False)
            optimizer.step()
            ema.update(model, 1)
    assert losses.device.type == norm.device.type == "cuda" and calls.of(WAITS) == 0, calls.counts
    assert {weight.device.type for weight in ema.model.parameters()} == {"cuda"}


# --- on the CPU, where there are values


@pytest.mark.parametrize("optimizer, accumulate", [("adam", 1), ("adam", 3), ("muon", 1)])
def test_a_training_step_waits_for_nothing(optimizer, accumulate):
    from training.optimizers import build_optimizer

    trainer = make_trainer("model.dropout=0.1")
    trainer.optimizer = build_optimizer(
        optimizer, trainer.model, learning_rate=1e-3, muon_learning_rate=5e-3, betas=(0.9, 0.99)
    )
    diffusion = build_diffusion(timestep_num=1000, beta_schedule="cosine")
    images = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8)
    batches, options = dict.fromkeys(range(2), (images, None)), StepOptions(0, 6, accumulate, grad_clip=1.0)
    train_step(trainer, trainer.model, diffusion, batches, options, ALONE)  # the optimizer makes its state
    trainer.step += 1
    with Calls() as calls:
        train_step(trainer, trainer.model, diffusion, batches, options, ALONE)
    assert calls.of(WAITS) == 0, calls.counts
    assert calls.of(COPIES) <= 40 * accumulate, calls.counts


@pytest.mark.parametrize("method", ETAS)
@pytest.mark.parametrize("variance", ["fixed_small", "learned"])
def test_more_steps_of_drawing_wait_no_more_often(method, variance):
    diffusion = build_diffusion(timestep_num=100, beta_schedule="cosine", variance=variance)

    def network(x, t):
        return torch.cat([0.5 * x, x], dim=1) if variance == "learned" else 0.5 * x

    found = {}
    for steps in (10, 20):
        with Calls() as calls:
            sample(network, diffusion, torch.randn(2, 1, 4, 4), SampleInfo(method, steps, ETAS[method]))
        found[steps] = calls.of(WAITS)
    assert found[10] == found[20] == 0


WRAPPED = {
    "guided": {"guidance": Guidance(2.0)},
    "guided within an interval": {"guidance": Guidance(2.0, (20, 60))},
    "a short batch": {"guidance": Guidance(2.0, (20, 60)), "pad_to": 3},
    "known pixels": {"known": Known(torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4) > 0, torch.randn_like)},
    "guided, known pixels": {"guidance": Guidance(2.0), "known": Known(torch.zeros(2, 1, 4, 4), torch.eye(4) > 0, torch.randn_like)},
}


@pytest.mark.parametrize("method", ETAS)
@pytest.mark.parametrize("self_condition, shown", [(False, "x_t"), (True, "x_u")])
def test_nor_does_what_is_wrapped_round_the_network(method, self_condition, shown):
    options = {"self_condition": self_condition, "network_input": shown}
    diffusion = build_diffusion(timestep_num=100, beta_schedule="cosine", **options)
    x_T, labels = torch.randn(2, 1, 4, 4), torch.tensor([0, 1])
    for name, how in WRAPPED.items():
        found = []
        for steps in (10, 20):
            wrapped = sampling_network(lambda x, t, y: 0.5 * x[:, :1], diffusion, labels=labels, num_classes=2, **how)
            with Calls() as calls:
                sample(wrapped, diffusion, x_T, SampleInfo(method, steps, ETAS[method]))
            found.append(calls.of(WAITS))
        assert found == [0, 0], name


@pytest.mark.parametrize("text", ["DDIM_10_0p0_r3", "UNIPC_10_0p0_r2"])
def test_nor_do_repaints_jumps_back(text):
    diffusion, info = build_diffusion(timestep_num=100, beta_schedule="cosine"), SampleInfo.parse(text)
    wrapped = sampling_network(lambda x, t: 0.5 * x, diffusion, known=WRAPPED["known pixels"]["known"])
    with Calls() as calls:
        resample(wrapped, diffusion, torch.randn(2, 1, 4, 4), info, torch.randn_like)
    assert calls.of(WAITS) == 0
