"""How the threads of the CPU's arithmetic wait for one another, and how many there are. Itself it loads no torch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# What a user may have said: OpenMP's own variable, and those of GNU's and of LLVM's (and Intel's) runtime.
WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
NUMBER_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# Of the largest feature maps. The digits' 150,000 are trained slower by two threads than by one (benchmarks/threads.py).
VALUES_A_THREAD = 2**18


def wait_passively() -> None:
    """From now on waiting threads sleep. To be called before torch is loaded; what the user has set stands.

    OpenMP's threads otherwise spin while they wait for the last of them, and keep it from the core that it needs, where
    another process wants one too (benchmarks/threads.py). GNU's runtime, which torch has on Linux, reads this as
    GOMP_SPINCOUNT=0, LLVM's (macOS, Windows) as KMP_BLOCKTIME=0.
    """
    if not any(name in os.environ for name in WAIT_VARIABLES):
        os.environ["OMP_WAIT_POLICY"] = "passive"


def pick_threads(values: int, available: int) -> int:
    """How many of `available` threads pay for a network whose largest feature maps have so many `values` in a batch.

    A function of the network alone, never of how busy the machine is: sums in another order are other bits, and a run that
    is gone on with must end as if it had not been stopped.
    """
    return max(1, min(available, values // VALUES_A_THREAD))


def use_threads(batch_size: int, channels: int, pixels: int) -> int:
    """Lets torch compute on as many threads as pay for such feature maps, (batch_size, channels, H, W) of H W = `pixels`, the
    largest of a network; unless the user has said how many. Returns how many it now has."""
    import torch  # here: the scripts call wait_passively before anything loads it

    if not any(name in os.environ for name in NUMBER_VARIABLES):
        torch.set_num_threads(pick_threads(batch_size * channels * pixels, torch.get_num_threads()))
    return torch.get_num_threads()


@contextmanager
def threads_for(values: int) -> Iterator[None]:
    """A context in which torch computes on as many of its threads as pay for feature maps of so many `values`; unless the user
    has said how many."""
    import torch

    if any(name in os.environ for name in NUMBER_VARIABLES):
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(pick_threads(values, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
