"""Which precision a network computes in, that it is its own affair, and that a training may go on in another."""

import pytest
import torch
from torch import nn

from benchmarks.profile_step import spent_by_group
from models import build_model
from tests.small_training import advance, make_trainer
from utils import precision as precision_module
from utils.precision import at_precision, cast_weights, float32_products, pick_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def switches():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    "capability, expected", [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"), ((7, 0), "fp16"), ((6, 1), "fp32")]
)
def test_a_gpus_capability_decides(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert pick_precision("auto", CUDA) == expected
    assert pick_precision("tf32", CUDA) == "tf32"


class Watched(nn.Module):
    """Notes what the process multiplies float32 in while it is called."""

    def forward(self, x_t, t):
        self.seen = switches()
        return x_t


def test_two_networks_of_one_process_compute_as_if_alone(monkeypatch):
    """On a GPU the switch is the process's; here it is watched, since no GPU is needed for it to be set."""
    monkeypatch.setattr(precision_module.torch, "autocast", lambda *_, **__: torch.no_grad())
    before, x, t = switches(), torch.ones(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64)
    exact, fast, mixed = Watched(), Watched(), Watched()
    calls = [(exact, at_precision(exact, "fp32", CUDA)), (fast, at_precision(fast, "tf32", CUDA)),
             (mixed, at_precision(mixed, "bf16", CUDA))]  # fmt: skip
    for order in (calls, calls[::-1]):
        for _, call in order:
            call(x, t)
        assert exact.seen == ("highest", False) and fast.seen == mixed.seen == ("high", True)
        assert switches() == before
    with float32_products("tf32", CUDA):  # a training, with a drawing in fp32 in its midst
        calls[0][1](x, t)
        assert exact.seen == ("highest", False) and switches() == ("high", True)
    with pytest.raises(ZeroDivisionError), float32_products("bf16", CUDA):
        raise ZeroDivisionError
    assert switches() == before


def test_weights_that_are_cast_once_draw_the_same():
    torch.manual_seed(0)
    model = build_model(image_size=8, image_channel=1, base_channels=8, channel_mult=[1, 2], num_res_blocks=1, norm_groups=4,
                        attention_resolutions=[4], num_heads=2, patch_size=1, num_classes=3, dropout=0.0).eval()  # fmt: skip
    model.out[-1].weight.data.normal_()
    x, t, y = torch.randn(2, 1, 8, 8), torch.tensor([3, 900]), torch.tensor([0, 3])
    call = at_precision(model, "bf16", CPU)
    with torch.no_grad():
        expected = call(x, t, y)
        cast_weights(model, "fp32", CPU)
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}
        cast_weights(model, "bf16", CPU)
        torch.testing.assert_close(call(x, t, y), expected, rtol=0, atol=0)
    assert model.out[-1].weight.dtype == torch.bfloat16 and model.out[0].weight.dtype == torch.float32


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
@pytest.mark.parametrize("saved, loaded", [(False, False), (False, True), (True, False), (True, True)])
def test_a_training_goes_on_with_another_memory_format(optimizer, saved, loaded):
    """The moments come back in the layout of their parameters, whatever they had in the file."""
    trainers = [with_layout(optimizer, layout) for layout in (saved, saved, loaded)]
    straight, stopped, resumed = trainers
    advance(straight, 6)
    advance(stopped, 3)
    resumed.load(stopped.snapshot(), "the test")
    for parameter, values in resumed.optimizer.state.items():
        assert all(value.stride() == parameter.stride() for value in values.values() if value.ndim)
    advance(resumed, 3)
    tolerance = {"rtol": 0, "atol": 0} if saved == loaded else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(resumed.model.state_dict(), straight.model.state_dict(), **tolerance)
    torch.testing.assert_close(resumed.ema.model.state_dict(), straight.ema.model.state_dict(), **tolerance)


def with_layout(optimizer, channels_last):
    from training.optimizers import build_optimizer

    trainer = make_trainer()
    if channels_last:
        trainer.model.to(memory_format=torch.channels_last)
        trainer.ema.model.to(memory_format=torch.channels_last)
    trainer.optimizer = build_optimizer(
        optimizer, trainer.model, learning_rate=1e-3, muon_learning_rate=5e-3, betas=(0.9, 0.99)
    )
    return trainer


@pytest.mark.parametrize("first, then", [("fp32", "fp16"), ("fp16", "fp32"), ("fp16", "fp16")])
def test_a_training_goes_on_in_another_precision(first, then):
    """The weights and moments are float32 in any; only fp16 has a scaler, which begins anew where there was none."""
    stopped, resumed = make_trainer(f"run.precision={first}"), make_trainer(f"run.precision={then}")
    advance(stopped, 2)
    stopped.scaler.scale(torch.zeros(1))
    resumed.load(stopped.snapshot(), "the test")
    torch.testing.assert_close(resumed.model.state_dict(), stopped.model.state_dict(), rtol=0, atol=0)
    assert resumed.scaler.is_enabled() == (then == "fp16") and resumed.step == 2


def test_a_training_goes_on_with_another_number_of_threads():
    before = torch.get_num_threads()
    try:
        trainers = [make_trainer(), make_trainer()]
        torch.set_num_threads(1)
        advance(trainers[0], 4)
        advance(trainers[1], 2)
        torch.set_num_threads(2)
        advance(trainers[1], 2)
    finally:
        torch.set_num_threads(before)
    weights = [trainer.model.state_dict() for trainer in trainers]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-5)


def test_a_profile_counts_an_operators_kernels_once():
    from types import SimpleNamespace

    from torch.autograd import DeviceType

    events = [
        SimpleNamespace(key="aten::group_norm", device_type=DeviceType.CPU, self_device_time_total=30, self_cpu_time_total=5),
        SimpleNamespace(key="RowwiseMomentsCUDAKernel", device_type=DeviceType.CUDA, self_device_time_total=30, self_cpu_time_total=0),
    ]  # fmt: skip
    assert spent_by_group(events, "cuda") == {"GroupNorm": 30}
    assert spent_by_group(events, "cpu") == {"GroupNorm": 5}
