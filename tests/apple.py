"""A device that is like Apple's GPU in what it refuses: float64 on it, and the CPU's tensors (but numbers) beside its own.

Its tensors say they are on `meta`, as torch cannot even name `mps` to autograd where it was built without it; what they
hold lies on the CPU, and is computed there.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

APPLE = torch.device("meta")


class AppleTensor(torch.Tensor):
    """A tensor that says it is on APPLE, and holds `data`, which is not."""

    @staticmethod
    def __new__(cls, data):
        return torch.Tensor._make_wrapper_subclass(cls, data.shape, data.stride(), dtype=data.dtype, device=APPLE)

    def __init__(self, data):
        self.data_on_cpu = data

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class AppleDevice(TorchDispatchMode):
    """Makes the tensors that are asked for on the device, for as long as it is entered."""

    def __enter__(self):
        self.numbers = _Numbers()
        self.numbers.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.numbers.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class _Numbers(TorchFunctionMode):
    """What torch does without asking a dispatch mode: `torch.tensor(number, device=...)` and `tolist`."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.tensor and torch.device(kwargs.get("device") or "cpu") == APPLE:
            return func(*args, **kwargs | {"device": "cpu"}).to(APPLE)
        if func is torch.Tensor.tolist:
            return args[0].cpu().tolist()
        return func(*args, **kwargs)


def run(func, args, kwargs):
    """`func` on what the tensors hold; TypeError for a float64, RuntimeError for a tensor of the CPU's among its operands."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = any(isinstance(tensor, AppleTensor) for tensor in tensors)
    device = kwargs.get("device")
    target = torch.device(device).type if device is not None else (APPLE.type if there else "cpu")
    copies = func.name() in ("aten::_to_copy", "aten::copy_", "aten::_local_scalar_dense", "aten::index.Tensor")
    if there and not copies and any(tensor.ndim and not isinstance(tensor, AppleTensor) for tensor in tensors):
        raise RuntimeError(f"{func.name()}: expected all tensors to be on the same device, but found the CPU and APPLE")
    if there and target == APPLE.type and kwargs.get("dtype") == torch.float64:
        raise TypeError(f"{func.name()}: the MPS framework does not support float64")

    def held(leaf):
        if isinstance(leaf, AppleTensor):
            return leaf.data_on_cpu
        return torch.device("cpu") if isinstance(leaf, torch.device) else leaf

    result = func(*tree_map(held, args), **tree_map(held, kwargs))
    if func.name() == "aten::copy_" or func.name().endswith("_") or "out" in kwargs or func._schema.is_mutable:
        return args[0] if isinstance(result, torch.Tensor) else result
    if target != APPLE.type:
        return result

    def given(leaf):
        if not isinstance(leaf, torch.Tensor):
            return leaf
        if leaf.dtype == torch.float64:
            raise TypeError(f"{func.name()}: the MPS framework does not support float64")
        return AppleTensor(leaf)

    return tree_map(given, result)
