"""A stand-in for CUDA graphs on the CPU: it notes each operator that a work calls, and does them again in the same memory."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Operators(TorchDispatchMode):
    """The operators that are called, with the tensors that they were given and gave."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, result))
        return result


class CpuRecorder:
    """As `utils.cuda_graphs.CudaRecorder`: what was captured sees no other memory than when it was captured."""

    def __init__(self):
        self.captured = self.replayed = 0

    def renew(self):
        pass

    def prepared(self):
        return torch.random.fork_rng([])

    def record(self, work, *, shared):
        with Operators() as operators:
            result = work()
        self.captured += 1

        def replay():
            self.replayed += 1
            with torch.no_grad(), torch.autocast("cpu", enabled=False):
                for function, args, kwargs, noted in operators.calls:
                    for old, new in zip(tree_leaves(noted), tree_leaves(function(*args, **kwargs))):
                        if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                            old.copy_(new)

        return result, replay
