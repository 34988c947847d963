"""torch.compile: what it needs is looked for first; whatever goes wrong with it, the run goes on as it is written."""

import os
import subprocess
import sys
import sysconfig

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from diffusion import SampleInfo, build_diffusion
from models import build_model
from sampling.drawing import draw
from tests.processes import TINY, done, train
from tests.small_training import ALONE, make_trainer
from training.step import StepOptions, equal_parts, train_step
from training.trial import trial_step
from utils import compiling
from utils.checkpoints import load_checkpoint
from utils.compiling import compile_in_place, missing_compiler, pick_compile

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
NETWORK = {"image_size": 8, "image_channel": 1, "base_channels": 8, "channel_mult": [1], "num_res_blocks": 1, "norm_groups": 4,
           "attention_resolutions": [], "num_heads": 2, "patch_size": 2, "num_classes": 0}  # fmt: skip
SMALLER = ["model.channel_mult=[1]", "model.attention_resolutions=[]", "model.patch_size=2", "model.num_heads=2"]


def test_without_a_compiler_it_says_so_and_goes_on(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CXX", raising=False)
    model = torch.nn.Conv2d(1, 1, 1)
    compile_in_place(model, True, CPU, 1)
    said = capsys.readouterr().out
    assert "Not compiled" in said and "compiler" in said and "run.compile=false" in said
    assert model._compiled_call_impl is None and model(torch.zeros(1, 1, 2, 2)).shape == (1, 1, 2, 2)


def test_a_training_without_a_compiler_ends_well(tmp_path):
    environment = {**os.environ, "PATH": "/nonexistent"}
    environment.pop("CXX", None)
    options = [part for override in [*TINY, "run.compile=true"] for part in ("--set", override)]
    command = [
        sys.executable,
        "train_solver.py",
        "--data_name",
        "Mnist_Mini",
        "--save_dir",
        tmp_path,
        "--max_steps",
        "1",
    ]
    answer = subprocess.run([*command, *options], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0 and "Not compiled" in answer.stdout, answer.stderr


@pytest.mark.slow
def test_a_compiled_network_is_saved_under_its_own_names(tmp_path):
    out = done(train(tmp_path / "run", "--max_steps", 1, settings=[*TINY, "run.compile=true"]))
    assert "Compiling" in out
    assert not [name for name in load_checkpoint(tmp_path / "run" / "model.safetensors").state_dict if "_orig" in name]


# --- what is missing


@pytest.fixture
def only(monkeypatch, tmp_path):
    """A path on which there are only programs of these names."""

    def make(*names):
        for name in names:
            (tmp_path / name).write_text("#!/bin/sh\nexit 0\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CC", raising=False)
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setattr(compiling, "find_spec", lambda name: object())

    return make


def test_triton_wants_gcc_or_clang(only):
    only("cc")
    assert "gcc or clang" in missing_compiler(CUDA)
    only("clang")
    assert "gcc" not in (missing_compiler(CUDA) or "")


def test_the_compiler_that_the_user_names_is_the_one(only, monkeypatch):
    only("gcc", "icc")
    monkeypatch.setenv("CC", "nocc")
    assert "no nocc" in missing_compiler(CUDA)
    monkeypatch.setenv("CC", "icc")
    assert "icc" not in (missing_compiler(CUDA) or "")


@pytest.mark.parametrize("device", [CPU, CUDA])
def test_pythons_headers_are_looked_for(only, monkeypatch, tmp_path, device):
    only("gcc", "g++", "clang++")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert "Python.h" in missing_compiler(device)
    (tmp_path / "Python.h").touch()
    assert missing_compiler(device) is None


# --- what fails half-way


def failing(monkeypatch, backend):
    """`compile` hands the network to `backend` from now on, and believes that it has a compiler."""
    monkeypatch.setattr(compiling, "missing_compiler", lambda device: None)
    plain = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: plain(self, backend=backend))
    torch._dynamo.reset()


def broken(graph, inputs):
    raise RuntimeError("the compiler fell over\nand this is a long story")


def broken_backwards(graph, inputs):
    """Compiles the forward pass; the backward pass fails when it is wanted."""

    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(context, output):
            return output.clone()

        @staticmethod
        def backward(context, gradient):
            raise subprocess.CalledProcessError(1, ["gcc"])

    return lambda *inputs: tuple(Fails.apply(output) for output in graph(*inputs))


@pytest.mark.parametrize("backend, reason", [(broken, "fell over"), (broken_backwards, "gcc")])
def test_a_compiler_that_fails_leaves_the_network_as_it_is_written(monkeypatch, capsys, backend, reason):
    failing(monkeypatch, backend)
    torch.manual_seed(0)
    model = build_model(**NETWORK, dropout=0.0)
    model.out[-1].weight.data.normal_()
    x_t, t = torch.randn(3, 1, 8, 8), torch.tensor([1, 2, 3])
    expected = model(x_t, t)
    is_compiled = compile_in_place(model, True, CPU, 1, try_out=lambda: trial_step(model, "fp32", CPU, 3, 3, (8, 8)))
    said = [line for line in capsys.readouterr().out.splitlines() if "Not compiled" in line]
    assert not is_compiled and len(said) == 1 and reason in said[0]
    output = model(x_t, t)
    torch.testing.assert_close(output, expected, rtol=0, atol=0)
    output.sum().backward()
    assert not capsys.readouterr().out


def test_a_later_failure_is_said_once_and_the_call_is_made_again(monkeypatch, capsys):
    calls = []

    def second_time(graph, inputs):
        calls.append(len(inputs))
        return graph.forward if len(calls) == 1 else broken(graph, inputs)

    failing(monkeypatch, second_time)
    model = nn.Conv2d(1, 1, 1)
    assert compile_in_place(model, True, CPU, 1)
    small, large = torch.ones(2, 1, 4, 4), torch.ones(2, 1, 4, 4, dtype=torch.float64)
    model(small)
    with pytest.raises(RuntimeError, match="type"):  # a mistake of the caller's stays one
        model(large)
    for _ in range(2):
        assert model(torch.ones(5, 1, 2, 2)).shape == (5, 1, 2, 2)
    assert capsys.readouterr().out.count("Not compiled") <= 1


def test_a_lack_of_memory_is_no_fault_of_the_compilers(monkeypatch):
    def full(graph, inputs):
        def call(*inputs):
            raise torch.OutOfMemoryError("CUDA out of memory")

        return call

    class Own(nn.Conv2d):  # torch 2.11 does not compile a layer of its own that is called by itself
        def forward(self, x):
            return super().forward(x)

    failing(monkeypatch, full)
    model = Own(1, 1, 1)
    assert compile_in_place(model, True, CPU, 1)
    with pytest.raises(torch.OutOfMemoryError):
        model(torch.ones(2, 1, 4, 4))
    assert model._compiled_call_impl.compiled is not None


def test_a_long_training_of_a_large_network_is_compiled_on_a_gpu():
    small, large = nn.Linear(10, 10), nn.Linear(4000, 4000, device="meta")
    assert pick_compile("auto", large, CUDA, 10**6) and not pick_compile("auto", large, CUDA, 10)
    assert not pick_compile("auto", small, CUDA, 10**6) and not pick_compile("auto", large, CPU, 10**9)
    assert pick_compile(True, small, CPU, 1) and not pick_compile(False, large, CUDA, 10**6)


# --- how often it is compiled


def counting(model):
    counter = CompileCounterWithBackend("eager")
    torch._dynamo.reset()
    nn.Module.compile(model, backend=counter)
    return counter


def training(accumulate, self_condition=False):
    overrides = [*SMALLER, "model.dropout=0.2", f"diffusion.self_condition={str(self_condition).lower()}"]
    trainer = make_trainer(*overrides)
    if self_condition:
        trainer.model = build_model(**NETWORK, dropout=0.2, self_condition=True)
        trainer.optimizer = torch.optim.Adam(trainer.model.parameters())
        trainer.ema = type(trainer.ema)(trainer.model, 0.9)
    diffusion = build_diffusion(timestep_num=1000, beta_schedule="cosine", self_condition=self_condition)
    images = torch.randint(0, 256, (10, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batches = dict.fromkeys(range(8), (images, None))
    return trainer, diffusion, batches, StepOptions(0, 10, accumulate)


@pytest.mark.parametrize("accumulate", [1, 4, 10])
def test_training_with_dropout_is_one_graph_for_any_number_of_parts(accumulate):
    trainer, diffusion, batches, options = training(accumulate)
    counter = counting(trainer.model)
    for _ in range(3):
        train_step(trainer, trainer.model, diffusion, batches, options, ALONE)
        trainer.step += 1
    assert counter.frame_count == 1
    assert not torch._dynamo.utils.counters["graph_break"]


def test_self_conditioning_is_two_graphs():
    trainer, diffusion, batches, options = training(4, self_condition=True)
    counter = counting(trainer.model)
    for _ in range(6):
        train_step(trainer, trainer.model, diffusion, batches, options, ALONE)
        trainer.step += 1
    assert counter.frame_count == 2
    assert not torch._dynamo.utils.counters["graph_break"]


def test_parts_of_one_length_give_what_the_whole_batch_gives():
    assert equal_parts(slice(10, 20), 4) == [(slice(10, 13), 0), (slice(13, 16), 0), (slice(16, 19), 0), (slice(17, 20), 2)]
    assert equal_parts(slice(0, 8), 4) == [(slice(start, start + 2), 0) for start in (0, 2, 4, 6)]
    weights = []
    for accumulate in (1, 4):
        trainer, diffusion, batches, options = training(accumulate)
        for _ in range(2):
            train_step(trainer, trainer.model, diffusion, batches, options, ALONE)
            trainer.step += 1
        weights.append(trainer.model.state_dict())
        assert trainer.monitor.loss_sums[:, 1].sum() == 20  # each picture once
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("text, num_classes", [("DDIM_3_1p0", 0), ("DDIM_3_0p0", 2), ("DDIM_3_0p0_cfg2p0", 2)])
def test_drawing_with_a_short_last_batch_is_one_graph(text, num_classes):
    torch.manual_seed(0)
    model = build_model(**{**NETWORK, "num_classes": num_classes}, dropout=0.2).eval()
    model.out[-1].weight.data.normal_(std=0.1)
    diffusion, info = build_diffusion(timestep_num=20, beta_schedule="cosine"), SampleInfo.parse(text)
    labels = {"labels": [0, 1], "num_classes": 2} if num_classes else {}
    told = []
    expected = draw(model, diffusion, info, [7, 8], (1, 8, 8), CPU, **labels)
    counter = counting(model)
    whole = {"labels": [0, 1, 0, 1, 0], "num_classes": 2} if num_classes else {}
    draw(model, diffusion, info, range(5), (1, 8, 8), CPU, **whole, pad_to=5)
    short = draw(model, diffusion, info, [7, 8], (1, 8, 8), CPU, lambda *step: told.append(len(step[3])), **labels, pad_to=5)
    assert counter.frame_count == 1 and set(told) == {2}
    assert (short.int() - expected.int()).abs().max() <= 1  # of 255
