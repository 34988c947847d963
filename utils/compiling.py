"""How a network is called: compiled, as CUDA graphs, or as it is written. What fails is said, and the run goes on without."""

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from utils.cuda_graphs import PLAIN_CALLS, CudaRecorder, GraphedCall, GraphedFunction
from utils.errors import one_line

# Below this many steps the minute or so of compiling does not pay on a GPU.
COMPILE_PAYS_FROM = 5000
# A network of fewer parameters computes for less time than its kernels take to be launched: as one CUDA graph it does not.
GRAPHS_PAY_BELOW = 5_000_000
SHOWN_LETTERS = 200  # of what a compiler says


def pick_compile(setting: str | bool, model: nn.Module, device: torch.device, steps: int) -> bool:
    """Whether to compile the network: `auto` does on a GPU, for long runs of large ones (small ones: see `pick_graphs`). On
    CPUs it was measured not to pay."""
    return device.type == "cuda" and steps >= COMPILE_PAYS_FROM and not is_small(model) if setting == "auto" else setting


def pick_graphs(setting: str | bool, model: nn.Module, device: torch.device) -> bool:
    """Whether a network that is not compiled is captured as CUDA graphs: small ones are, on a GPU, however long the run is,
    unless the `setting` for compiling is False."""
    return setting is not False and device.type == "cuda" and is_small(model)


def is_small(model: nn.Module) -> bool:
    """Whether the kernels of the network take longer to be launched than to compute, as far as its size tells."""
    return sum(parameter.numel() for parameter in model.parameters()) < GRAPHS_PAY_BELOW


def compile_in_place(
    model: nn.Module,
    setting: str | bool,
    device: torch.device,
    steps: int,
    *,
    try_out: Callable[[], object] | None = None,
) -> bool:
    """Compiles `model` where `pick_compile` says so, and says that it does; else captures it where `pick_graphs` says so.
    Gives whether it did either: calls for other shapes then cost more.

    In place: the names in its state_dict stay what they are. Whatever goes wrong with compiling, here, in `try_out` (a step
    of what the network is for) or in a later call, the network goes on as it is written, and one line says why. (Not in mode
    `reduce-overhead`, the compiler's own graphs: on an H100 a backward pass could not be recorded, in the middle of a run.)
    """
    model._compiled_call_impl = None
    compiles = pick_compile(setting, model, device, steps)
    missing = missing_compiler(device) if compiles else None
    if missing:
        _say_why_not("compiled", missing)
    if missing or not compiles:
        return capture_in_place(model, setting, device, try_out=try_out)
    print("Compiling the network: the first step takes a minute or two.", flush=True)
    model.compile()
    compiled = model._compiled_call_impl = CompiledCall(model)
    _try(compiled, try_out)
    return compiled.compiled is not None


def capture_in_place(
    model: nn.Module, setting: str | bool, device: torch.device, *, try_out: Callable[[], object] | None = None
) -> bool:
    """Has `model` called as CUDA graphs where `pick_graphs` says so; gives whether it is.

    With `try_out` its first call is captured, else those of a kind that comes again. Where capturing fails, then or later,
    the network is called as it is written, and one line says why.
    """
    model._compiled_call_impl = None
    if not pick_graphs(setting, model, device):
        return False
    plain_calls = PLAIN_CALLS if try_out is None else 0
    graphed = GraphedCall(model, CudaRecorder(device), partial(_say_why_not, "captured"), plain_calls=plain_calls)
    model._compiled_call_impl = graphed
    _try(graphed, try_out)
    return graphed.recorder is not None


def capture_function(
    function: Callable[..., Sequence[Tensor]], setting: str | bool, model: nn.Module, device: torch.device
) -> Callable[..., Sequence[Tensor]]:
    """`function` of tensors as a CUDA graph where `model`, for which it is called, is captured; see `GraphedFunction`."""
    if not pick_graphs(setting, model, device):
        return function
    return GraphedFunction(function, CudaRecorder(device), partial(_say_why_not, "captured"))


def _try(call: "CompiledCall | GraphedCall", try_out: Callable[[], object] | None) -> None:
    """`call` gives up where `try_out` fails, but for a lack of memory, which is not its fault."""
    try:
        if try_out is not None:
            try_out()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the compilers have no exception in common, and this may be any program's
        call.give_up(error)


@contextmanager
def as_written(model: nn.Module) -> Iterator[None]:
    """A context in which `model` is neither compiled nor captured, as hooks of its modules want it."""
    own, model._compiled_call_impl = model._compiled_call_impl, None
    try:
        yield
    finally:
        model._compiled_call_impl = own


class CompiledCall:
    """A compiled network's call, in the place of `model`'s own; the plain one as soon as the compiled one fails."""

    def __init__(self, model: nn.Module):
        self.plain = model._call_impl
        self.compiled: Callable[..., Tensor] | None = model._compiled_call_impl

    def __call__(self, *inputs: Tensor) -> Tensor:
        if self.compiled is None:
            return self.plain(*inputs)
        try:
            return self.compiled(*inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # the compilers have no exception in common
            output = self.plain(*inputs)  # if this fails too, compiling was not at fault, and nothing is said of it
            self.give_up(error)
            return output

    def give_up(self, error: Exception) -> None:
        """From now on as it is written."""
        if self.compiled is not None:
            self.compiled = None
            _say_why_not("compiled", error)


def missing_compiler(device: torch.device) -> str | None:
    """What torch.compile would need on `device` and cannot find here; None if it has all."""
    if device.type == "cuda":
        if find_spec("triton") is None:
            return "triton is not installed"
        names = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]  # all that triton looks for
    else:
        names = [os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")]
    if not any(shutil.which(name) for name in names):
        return f"torch.compile needs a compiler, and there is no {' or '.join(names)}"
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not headers.is_file():
        return f"torch.compile needs Python's headers, and there is no {headers} (the package python3-dev has them)"
    return None


def _say_why_not(what: str, reason: str | Exception) -> None:
    text = one_line(" ".join(str(reason).split()) or type(reason).__name__)[:SHOWN_LETTERS].rstrip(".")
    print(f"Not {what}, so slower: {text}. run.compile=false leaves this out.", flush=True)
