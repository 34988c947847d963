"""The processes of one run: those that torchrun started, or this one alone.

Every method of `Ranks` that communicates is called by all ranks, at the same place: none hides inside a rank's branch.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from utils.device import check_device_works, pick_device, reuse_freed_memory, tune_convolutions
from utils.errors import RequestError

# The longest that ranks wait for one another: rank 0 may be reading a large state, or decoding pictures.
TIMEOUT = timedelta(minutes=30)


class Ranks:
    """This process's number `rank` among `size` of them, and the `device` it computes on.

    One process alone is rank 0 of 1: it makes no process group, and every method is then a plain local answer.
    """

    def __init__(self, device: str):
        """`device` is auto, cpu, cuda or mps. Joins torchrun's process group, if torchrun started this process.

        RequestError if the device cannot be had.
        """
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.device = pick_device(device)
        reuse_freed_memory()
        self._ddp: DistributedDataParallel | None = None
        self._join()
        check_device_works(self.device)
        tune_convolutions(self.device)

    def _join(self) -> None:
        """Takes this rank's own GPU, and joins the process group, where there are several ranks."""
        if self.size == 1:
            return
        if self.device.type == "mps":
            raise RequestError("torchrun shares nothing out on Apple's GPU: use --device cpu, or one process")
        if self.device.type == "cuda":
            local_rank = int(os.environ["LOCAL_RANK"])
            if local_rank >= torch.cuda.device_count():
                raise RequestError(
                    f"torchrun started more processes on this machine than its {torch.cuda.device_count()} GPUs; "
                    f"use --nproc_per_node={torch.cuda.device_count()}"
                )
            self.device = torch.device("cuda", local_rank)
            torch.cuda.set_device(self.device)
        backend = "cpu:gloo,cuda:nccl" if self.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=TIMEOUT)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and talks to the user."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """This rank's share of `count` rows: consecutive, and no share larger than another by more than one."""
        return split_evenly(slice(0, count), self.size)[self.rank]

    def wrap_model(self, model: nn.Module) -> nn.Module:
        """`model`, its gradients averaged over the ranks by each backward pass."""
        if self.size == 1:
            return model
        devices = [self.device] if self.device.type == "cuda" else None
        self._ddp = DistributedDataParallel(model, device_ids=devices)
        return self._ddp

    def sync_gradients_when(self, last: bool) -> AbstractContextManager:
        """Around the backward pass of a part of the batch: the ranks exchange gradients in the last one only."""
        return nullcontext() if last or self._ddp is None else self._ddp.no_sync()

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """The sum of every rank's `values`, element by element: a new tensor."""
        values = values.clone()
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def all_reduce_max(self, *values: int) -> list[int]:
        """The largest of every rank's value, for each of `values`. It goes over the CPU: nothing waits for a GPU."""
        if self.size == 1:
            return list(values)
        largest = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return largest.tolist()

    def broadcast_from_rank0(self, make: Callable[[], object]) -> object:
        """What `make` gives on rank 0, on every rank; its RequestError too."""
        if self.size == 1:
            return make()
        answer: list[object] = [None, None]
        if self.is_main:
            try:
                answer[0] = make()
            except RequestError as error:
                answer[1] = str(error)
        dist.broadcast_object_list(answer, device=torch.device("cpu"))
        if answer[1] is not None:
            raise RequestError(answer[1])
        return answer[0]

    def all_gather(self, value: object) -> list:
        """Every rank's `value` (tensors in it on the CPU), in the order of the ranks, on every rank."""
        if self.size == 1:
            return [value]
        values: list = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def wait_for_device(self) -> None:
        """Until this rank's device has done what it was given."""
        if self.device.type != "cpu":
            torch.get_device_module(self.device).synchronize()

    def close(self) -> None:
        """Leaves the process group: the last act of a run that went well."""
        if self.size > 1:
            dist.destroy_process_group()


def share_out(ranks: Ranks | None, items: Sequence, work: Callable) -> list:
    """`work(item)` of each of the `items`, in their order, on every rank; each rank does some of them. None: this process
    does all. What `work` gives has its tensors on the CPU; `items` are the same on all ranks, which all call this."""
    if ranks is None or ranks.size == 1:
        return [work(item) for item in items]
    everyone = ranks.all_gather([work(item) for item in items[ranks.rank :: ranks.size]])
    return [everyone[i % ranks.size][i // ranks.size] for i in range(len(items))]


def split_evenly(rows: slice, count: int) -> list[slice]:
    """`rows` cut into `count` consecutive slices, none longer than another by more than one; short ones may be empty."""
    length = rows.stop - rows.start
    bounds = [rows.start + i * length // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in zip(bounds, bounds[1:])]


def silence_other_ranks() -> None:
    """Silences the standard output of all processes of torchrun's but rank 0."""
    if int(os.environ.get("RANK", 0)) > 0:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
