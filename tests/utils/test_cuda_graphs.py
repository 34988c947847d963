"""Networks as CUDA graphs: which ones, and that they train and draw what they would as they are written.

The graphs are a stand-in's, on the CPU; what is seen is everything else: memory that moves, masks, parts, other shapes.
"""

import copy
import inspect

import pytest
import torch
from torch import nn

from diffusion import SampleInfo, build_diffusion, network_input
from models import build_model
from sampling.drawing import draw
from tests.recorder import CpuRecorder
from tests.small_training import ALONE, make_trainer
from training.ema import EMA
from training.step import StepOptions, train_step
from training.trial import trial_step
from utils import compiling, cuda_graphs
from utils.compiling import as_written, capture_in_place, compile_in_place, pick_graphs
from utils.cuda_graphs import MOST_GRAPHS, GraphedCall
from utils.precision import at_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
NETWORK = {"image_size": 8, "image_channel": 1, "base_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4,
           "attention_resolutions": [4], "num_heads": 2, "patch_size": 1}  # fmt: skip


def network(dropout=0.0, num_classes=0, self_condition=False):
    torch.manual_seed(0)
    model = build_model(**NETWORK, dropout=dropout, num_classes=num_classes, self_condition=self_condition)
    model.out[-1].weight.data.normal_(std=0.1)
    return model


def captured(model, recorder=None, plain_calls=0):
    """`model`, called by graphs of the stand-in's; and the reasons why not, if any."""
    reasons = []
    model._compiled_call_impl = GraphedCall(model, recorder or CpuRecorder(), reasons.append, plain_calls=plain_calls)
    return model._compiled_call_impl, reasons


# --- which ones


SMALL_NET, LARGE_NET = nn.Linear(10, 10), nn.Linear(4000, 4000, device="meta")


@pytest.mark.parametrize("model, setting, device, expected", [
    (SMALL_NET, "auto", CUDA, True), (SMALL_NET, True, CUDA, True), (SMALL_NET, False, CUDA, False), (SMALL_NET, "auto", CPU, False),
    (LARGE_NET, "auto", CUDA, False), (SMALL_NET, "auto", torch.device("mps"), False),
])  # fmt: skip
def test_the_size_of_the_network_decides(model, setting, device, expected):
    assert pick_graphs(setting, model, device) is expected


@pytest.fixture
def on_cuda(monkeypatch):
    """A machine that believes in CUDA: networks of the CPU's are captured by the stand-in, or compiled by nobody."""
    monkeypatch.setattr(compiling, "CudaRecorder", lambda device: CpuRecorder())
    monkeypatch.setattr(compiling, "missing_compiler", lambda device: None)
    monkeypatch.setattr(nn.Module, "compile", lambda self: setattr(self, "_compiled_call_impl", "compiled"))


@pytest.mark.parametrize("steps", [10, 10**6])
def test_small_networks_are_graphs_whatever_the_length_of_the_run(on_cuda, steps):
    model = network()
    assert compile_in_place(model, "auto", CUDA, steps)
    assert isinstance(model._compiled_call_impl, GraphedCall)


def test_without_a_compiler_a_small_network_is_captured_and_false_leaves_it_as_it_is(on_cuda, monkeypatch, capsys):
    monkeypatch.setattr(compiling, "missing_compiler", lambda device: "there is none")
    model = network()
    assert compile_in_place(model, True, CUDA, 10**6) and isinstance(model._compiled_call_impl, GraphedCall)
    assert "Not compiled, so slower: there is none." in capsys.readouterr().out
    assert not compile_in_place(model, False, CUDA, 10**6) and model._compiled_call_impl is None
    assert not capture_in_place(model, "auto", CPU) and not capsys.readouterr().out


# --- a training


def train(with_graphs, *, accumulate=1, self_condition=False, shown="x_t", steps=4):
    """The weights, their average and the losses after some steps; and how the network was called."""
    trainer, call = make_trainer("model.dropout=0.2"), None
    trainer.model = network(dropout=0.2, self_condition=self_condition)
    trainer.optimizer, trainer.ema = torch.optim.Adam(trainer.model.parameters(), lr=1e-2), EMA(trainer.model, 0.9)
    how = {"self_condition": self_condition, "network_input": shown}
    diffusion = build_diffusion(timestep_num=1000, beta_schedule="cosine", **how)
    if with_graphs:
        call, reasons = captured(trainer.model)
        trial_step(trainer.model, "fp32", CPU, -(-10 // accumulate), 10, (8, 8), network_input.time_dtype(diffusion))
    images = torch.randint(0, 256, (steps, 10, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batches = [(each, None) for each in images]
    called = at_precision(trainer.model, "fp32", CPU)
    for _ in range(steps):
        train_step(trainer, called, diffusion, batches, StepOptions(0, 10, accumulate, grad_clip=1.0), ALONE)
        trainer.step += 1
    assert call is None or not reasons
    return [trainer.model.state_dict(), trainer.ema.model.state_dict(), trainer.monitor.state_dict()], call


@pytest.mark.parametrize("how", [
    {}, {"accumulate": 3}, {"self_condition": True, "accumulate": 2}, {"shown": "x_u"},
])  # fmt: skip
def test_a_training_by_graphs_is_the_training(how):
    """Dropout masks, the parts of a batch, gradients that are summed, clipped and followed: bit for bit."""
    expected, _ = train(False, **how)
    found, call = train(True, **how)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    # Captured once, in the trial; with self-conditioning also the forward pass alone, which shows the estimate.
    assert len(call.graphs) == (2 if how.get("self_condition") else 1)


def test_going_backwards_after_another_forward_pass_is_an_error():
    model = network()
    captured(model)
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([1, 2])
    first, second = model(x, t), model(2 * x, t)
    with pytest.raises(RuntimeError, match="before the next"):
        first.sum().backward()
    second.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once after each"):
        second.sum().backward()
    assert first.ne(second).any()  # each in memory of its own


# --- drawing


@pytest.mark.parametrize("text", ["DDIM_8_1p0", "DDIM_8_0p0_cfg2p0", "DDIM_8_0p0_cfg2p0t20t60", "HEUN_4_0p0"])
def test_what_is_drawn_by_graphs_is_what_is_drawn(text):
    model, info = network(num_classes=2).eval(), SampleInfo.parse(text)
    diffusion = build_diffusion(timestep_num=100, beta_schedule="cosine")

    def pictures(seeds):
        return draw(model, diffusion, info, seeds, (1, 8, 8), CPU, labels=[seed % 2 for seed in seeds], num_classes=2)

    expected = [pictures([3, 4, 5, 6]), pictures([7])]
    call, reasons = captured(model, plain_calls=2)
    for _ in range(2):
        found = [pictures([3, 4, 5, 6]), pictures([7])]
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    kinds = 2 if "t20" in text else 1  # within the interval two rows a picture, outside one
    assert len(call.graphs) == 2 * kinds and call.recorder.replayed > 8 and not reasons


def test_calls_that_are_made_once_or_twice_are_not_captured_and_many_kinds_are_not():
    model = network().eval()
    call, _ = captured(model, plain_calls=2)
    with torch.no_grad():
        for count in range(1, MOST_GRAPHS + 3):
            for calls in range(1, 4):
                model(torch.zeros(count, 1, 8, 8), torch.zeros(count, dtype=torch.int64))
                assert len(call.graphs) == min(MOST_GRAPHS, count - (calls < 3))


def test_graphs_see_weights_that_change_and_weights_that_move():
    model = network().eval()
    call, _ = captured(model)
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([1, 2])
    for change in (lambda weight: weight.mul_(2), lambda weight: setattr(weight, "data", weight * 2), lambda weight: None):
        with torch.no_grad():
            model(x, t)
            change(model.out[-1].weight)
            found = model(x, t)
            with as_written(model):
                torch.testing.assert_close(found, model(x, t), rtol=0, atol=0)
    assert call.recorder.captured == 2
    assert copy.deepcopy(model)._compiled_call_impl is None


def test_gradients_of_the_pictures_and_other_precisions_are_no_part_of_a_graph():
    model = network().eval()
    call, _ = captured(model)
    x, t = torch.randn(2, 1, 8, 8, requires_grad=True), torch.tensor([1, 2])
    model(x, t).sum().backward()
    assert x.grad is not None and not call.graphs
    with torch.no_grad():
        exact, mixed = (at_precision(model, precision, CPU)(x.detach(), t) for precision in ("fp32", "bf16"))
    assert len(call.graphs) == 2 and exact.ne(mixed).any()


# --- what fails


class Failing(CpuRecorder):
    """Fails at capture number `at`, after it drew random numbers."""

    def __init__(self, error, at=0):
        super().__init__()
        self.error, self.at = error, at

    def record(self, work, *, shared):
        if self.captured == self.at:
            torch.rand(3)
            raise self.error
        return super().record(work, shared=shared)


@pytest.mark.parametrize("error", [RuntimeError("operation not permitted\nwhen stream is capturing"), torch.OutOfMemoryError("full")])
@pytest.mark.parametrize("at", [0, 1])
def test_a_capture_that_fails_leaves_the_network_as_it_is_written(on_cuda, monkeypatch, capsys, error, at):
    monkeypatch.setattr(compiling, "CudaRecorder", lambda device: Failing(error, at))
    model = network(dropout=0.2)
    torch.manual_seed(5)
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([1, 2])
    expected, after = model(x, t), torch.rand(2)
    torch.manual_seed(5)
    torch.randn(2, 1, 8, 8)
    assert capture_in_place(model, "auto", CUDA)
    model._compiled_call_impl.plain_calls = 0
    found = model(x, t)
    torch.testing.assert_close([found, torch.rand(2)], [expected, after], rtol=0, atol=0)
    found.sum().backward()
    model(x, t)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1 and said[0].startswith("Not captured, so slower: ") and str(error).split()[0] in said[0]


def test_a_trial_that_fails_is_said_before_the_training_begins(on_cuda, monkeypatch, capsys):
    monkeypatch.setattr(compiling, "CudaRecorder", lambda device: Failing(RuntimeError("no graphs here")))
    model = network(dropout=0.2)
    assert not compile_in_place(model, "auto", CUDA, 10, try_out=lambda: trial_step(model, "fp32", CPU, 2, 4, (8, 8)))
    assert "Not captured, so slower: no graphs here." in capsys.readouterr().out


def test_graphs_give_their_memory_back_before_a_call_fails_for_want_of_it():
    model = network().eval()
    call, reasons = captured(model)
    x, t = torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        expected, plain = model(x, t), call.plain
        call.plain_calls = 5

        def full(x, t):
            if call.graphs:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return plain(x, t)

        call.plain = full
        torch.testing.assert_close(model(x[:1], t[:1]), expected[:1], rtol=1e-5, atol=1e-5)
        assert reasons == ["their memory is needed"] and not call.graphs
        call.graphs, call.plain = {}, lambda x, t: (_ for _ in ()).throw(torch.OutOfMemoryError("full"))
        with pytest.raises(torch.OutOfMemoryError):
            model(x, t)


def test_cudas_own_functions_take_what_they_are_given(monkeypatch):
    """Names and arguments, as far as a machine without a GPU knows them."""
    begun = []
    for name in ("graph", "CUDAGraph"):
        signature = inspect.signature(getattr(torch.cuda, name))

        class Bound:
            replay = "again"

            def __init__(self, *args, signature=signature, **kwargs):
                begun.append(signature.bind(*args, **kwargs).arguments)

            def __enter__(self):
                pass

            def __exit__(self, *error):
                pass

        monkeypatch.setattr(torch.cuda, name, Bound)
    recorder = object.__new__(cuda_graphs.CudaRecorder)
    recorder.stream, recorder.pool = "stream", "pool"
    assert recorder.record(lambda: 7, shared=True) == (7, "again")
    assert begun[-1]["pool"] == "pool" and begun[-1]["stream"] == "stream" and begun[-1]["capture_error_mode"] == "thread_local"
    assert hasattr(torch.Generator, "graphsafe_set_state") and hasattr(torch.Generator, "graphsafe_get_state")
    assert hasattr(torch.cuda, "graph_pool_handle") and hasattr(torch, "_foreach_mul")


def test_a_graph_that_computes_something_else_is_not_used():
    class Forgetful(CpuRecorder):
        def record(self, work, *, shared):
            result, _ = super().record(work, shared=shared)
            return result, lambda: result.mul_(2) if isinstance(result, torch.Tensor) else None

    model = network().eval()
    x_t, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 5])
    with torch.no_grad():
        expected = model(x_t, t)
        call, reasons = captured(model, Forgetful())
        torch.testing.assert_close(model(x_t, t), expected, rtol=0, atol=0)
    assert call.recorder is None and "other values" in str(*reasons)
