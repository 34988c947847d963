"""How many pictures the memory has room for at a time."""

import psutil
import torch
from torch import Tensor, nn

from sampling.network import sampling_network
from sampling.trained import Trained
from utils.compiling import as_written

SHARE = 0.5  # of the memory that is free now
MOST = 1024  # a GPU is as fast with so many as with more
ALIVE = 0.5  # of all feature maps, at the same time: a third was measured, of the shipped networks in fp32 and bf16


def default_batch(trained: Trained, processes: int = 1, count: int | None = None) -> int:
    """How many pictures are drawn at a time, unless the user says: the checkpoint's own number on a CPU.

    A GPU is not busy with so few: there it is a power of two, as many as half of its free memory has room for, MOST at the
    most; and no more than leave each of the `processes` its share of `count` pictures.
    """
    if trained.device.type != "cuda":
        return trained.batch_size
    free, _ = torch.cuda.mem_get_info(trained.device)
    fitting = max(1, min(MOST, int(SHARE * free / _bytes_a_picture(trained))))
    fitting = max(trained.batch_size, 2 ** (fitting.bit_length() - 1))
    return fitting if count is None else min(fitting, -(-count // processes))


def pictures_at_a_time(trained: Trained, wanted: int) -> int:
    """`wanted`, or as many pictures as half of the free memory has room for, but at least one.

    A GPU says itself when its memory is used up, and `draw` then halves the batch. The CPU's memory does not: the system
    begins to swap, or ends the process. So there, one picture goes through the network to see what its feature maps take.
    """
    if trained.device.type == "cuda" or wanted == 1:
        return wanted
    fitting = int(SHARE * psutil.virtual_memory().available / _bytes_a_picture(trained))
    return max(1, min(wanted, fitting))


@torch.no_grad()
def _bytes_a_picture(trained: Trained) -> int:
    """What the feature maps of one picture take, those that are alive at the same time."""
    total = 0

    def count(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        nonlocal total
        total += output.numel() * output.element_size()

    leaves = [module for module in trained.model.modules() if not any(module.children())]
    hooks = [leaf.register_forward_hook(count) for leaf in leaves]
    x_t = torch.zeros(1, *trained.shape, device=trained.device)
    network = sampling_network(trained.network, trained.diffusion)
    with as_written(trained.model):
        network(x_t, torch.zeros(1, dtype=torch.int64, device=trained.device))
    for hook in hooks:
        hook.remove()
    return int(ALIVE * total)
