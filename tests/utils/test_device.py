"""A CUDA device that is named or there, and cannot be used, is said; nothing falls back to the CPU in silence."""

import pytest
import torch

from utils import device as device_module
from utils.device import check_device_works, pick_device, tune_convolutions
from utils.errors import RequestError, explain_failure

OLD_DRIVER = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by ..."
NO_DRIVER = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"
NO_DEVICE = "No CUDA GPUs are available"


@pytest.fixture
def without_cuda(monkeypatch):
    """A machine on which torch says `why` when it is asked for CUDA; the variable is what the user typed (None: nothing)."""

    def make(why, variable):
        def init():
            raise RuntimeError(why)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        monkeypatch.setattr(torch.cuda, "init", init)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if variable is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
        device_module._note_missing_cuda.cache_clear()

    yield make
    device_module._note_missing_cuda.cache_clear()


@pytest.mark.parametrize(
    "why, variable", [(OLD_DRIVER, None), (OLD_DRIVER, "0"), (NO_DEVICE, "3"), ("CUDA unknown error - this", None)]
)
def test_a_device_that_cannot_be_used_is_not_passed_over(without_cuda, why, variable):
    without_cuda(why, variable)
    with pytest.raises(RequestError, match="cannot be used") as caught:
        pick_device("auto")
    assert why[:20] in str(caught.value) and "--device cpu" in str(caught.value)
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(RequestError, match=f"--device cuda.*{why[:20]}"):
        pick_device("cuda")


@pytest.mark.parametrize(
    "why, variable, said", [(NO_DRIVER, "0", True), (NO_DRIVER, None, False), (NO_DEVICE, None, False), (NO_DEVICE, "", False),
                            (OLD_DRIVER, "-1", False)]  # fmt: skip
)
def test_without_a_gpu_the_cpu_computes_and_a_named_one_is_mentioned_once(without_cuda, capsys, why, variable, said):
    without_cuda(why, variable)
    assert pick_device("auto").type == pick_device("auto").type == "cpu"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == said
    if said:
        assert "CUDA_VISIBLE_DEVICES=0" in lines[0] and "no NVIDIA driver" in lines[0]


def test_a_gpu_without_kernels_for_it_is_refused_in_a_line(monkeypatch):
    def ones(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors ...")

    monkeypatch.setattr(torch, "ones", ones)
    with pytest.raises(RequestError, match="cannot be used: no kernel image is available.*--device cpu") as caught:
        check_device_works(torch.device("cuda", 0))
    assert "\n" not in str(caught.value)
    check_device_works(torch.device("cpu"))


@pytest.mark.parametrize("deterministic", [False, True])
def test_convolutions_are_tuned_unless_they_must_be_deterministic(monkeypatch, deterministic):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", deterministic)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    tune_convolutions(torch.device("cpu"))
    assert torch.backends.cudnn.benchmark is deterministic
    tune_convolutions(torch.device("cuda"))
    assert torch.backends.cudnn.benchmark is not deterministic


def test_out_of_memory_names_what_would_help():
    line = explain_failure(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert all(word in line for word in ("train.batch_size", "train.accumulate", "--batch_size"))
