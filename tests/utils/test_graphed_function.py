"""A function of tensors as a CUDA graph, by the stand-in for graphs; and that a training's optimizer has one."""

import math

import pytest
import torch

from tests.recorder import CpuRecorder
from tests.small_training import ALONE, make_trainer
from training.networks import networks_of
from training.optimizers import build_optimizer, muon_updates
from utils import compiling, cuda_graphs
from utils.cuda_graphs import GraphedFunction


@pytest.mark.parametrize("fails", [False, True])
def test_a_function_is_captured_at_its_first_call_or_called_as_it_is_written(fails):
    def halves(*tensors):
        return [tensor / 2 for tensor in tensors]

    class Broken(CpuRecorder):
        def record(self, work, *, shared):
            raise RuntimeError("no graphs here")

    recorder, reasons = Broken() if fails else CpuRecorder(), []
    function = GraphedFunction(halves, recorder, reasons.append)
    for k in range(3):
        given = torch.full((2, 3), float(k)), torch.arange(4.0) + k
        torch.testing.assert_close(list(function(*given)), halves(*given), rtol=0, atol=0)
    assert (recorder.captured, len(reasons)) == ((0, 1) if fails else (1, 0))


def test_a_graph_of_a_function_that_gives_something_else_is_given_up():
    calls, reasons = [], []

    def changes(x):
        calls.append(x)
        return [x + (10 if len(calls) == cuda_graphs.WARM_UPS + 1 else 0)]  # the call that is captured

    function = GraphedFunction(changes, CpuRecorder(), reasons.append)
    torch.testing.assert_close(function(torch.ones(2)), [torch.ones(2)])
    assert "other values" in str(reasons[0]) and len(reasons) == 1


def test_other_shapes_than_those_of_the_first_call_are_for_the_plain_function():
    function = GraphedFunction(lambda *tensors: [tensor + 1 for tensor in tensors], CpuRecorder(), pytest.fail)
    for given in ([torch.zeros(2), torch.zeros(3)], [torch.ones(2)], [torch.ones(3), torch.ones(3)], [torch.ones(2), torch.ones(3)]):
        torch.testing.assert_close(list(function(*given)), [tensor + 1 for tensor in given], rtol=0, atol=0)


def test_a_nan_at_the_first_call_is_no_reason_to_give_up():
    function = GraphedFunction(lambda x: [x * 2], CpuRecorder(), pytest.fail)
    assert function(torch.full((2,), math.nan))[0].isnan().all()
    torch.testing.assert_close(function(torch.ones(2))[0], torch.full((2,), 2.0))


@pytest.mark.parametrize("name, setting", [("muon", "auto"), ("muon", False), ("adam", "auto")])
def test_the_updates_of_a_trainings_muon_are_captured_where_its_network_is(monkeypatch, name, setting):
    monkeypatch.setattr(compiling, "CudaRecorder", lambda device: CpuRecorder())
    trainer = make_trainer()
    rates = {"learning_rate": 1e-3, "muon_learning_rate": 5e-3, "betas": (0.9, 0.99)}
    trainer.optimizer = build_optimizer(name, trainer.model, **rates)

    class Believes:  # in CUDA, with the tensors of a CPU
        device = torch.device("cuda")
        rows, wrap_model = ALONE.rows, staticmethod(lambda model: model)

    monkeypatch.setattr("training.networks.trial_step", lambda *arguments: None)
    networks_of(trainer, Believes(), "fp32", setting, total_steps=10, batch_size=2, accumulate=1, size=(8, 8))
    if name == "muon":
        captured = isinstance(trainer.optimizer.updates, GraphedFunction)
        assert captured == (setting == "auto") and (captured or trainer.optimizer.updates is muon_updates)
