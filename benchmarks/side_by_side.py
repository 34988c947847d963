"""What the measuring programs share: turns taken on one machine, medians, the machine's ceiling, and files of results."""

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from utils.files import atomic_write

RESULTS = Path(__file__).resolve().parent / "results"
LIBRARIES = ("torch", "torchvision", "diffusers", "denoising-diffusion-pytorch", "accelerate")

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def parser(doc: str, result: str) -> argparse.ArgumentParser:
    """The options that every program has; `result` is the name of its file."""
    options = argparse.ArgumentParser(description=doc.split("\n")[0])
    options.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--output", type=Path, metavar="FILE", help=f"benchmarks/results/{result}_DEVICE.json")
    options.set_defaults(result=result)
    options.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu: the process's own processor seconds, for a CPU that is shared with other work (cpu device only)",
    )
    return options


def synchronize(device: str) -> None:
    """Waits until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def take_turns(
    contestants: dict[str, Callable[[], object]], rounds: int, device: str, clock: str, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each call: `rounds` rounds, each contestant once a round, the order turning, after `warm_up` calls.

    What disturbs the machine for a while then disturbs all of them.
    """
    now, names = CLOCKS[clock], list(contestants)
    for name in names:
        for _ in range(warm_up):
            contestants[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            synchronize(device)
            start = now()
            contestants[name]()
            synchronize(device)
            seconds[name].append(now() - start)
        print(
            f"round {turn + 1} of {rounds}", *(f"{name} {times[-1]:.3f} s" for name, times in seconds.items()), sep="  "
        )
    return seconds


def matmul_rate(device: str, dtype: torch.dtype, clock: str, side: int | None = None) -> float:
    """The machine's ceiling: FLOP a second of a large square matrix product, the best of several (all its threads)."""
    side = side or (8192 if device == "cuda" else 1536)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    seconds = take_turns({"": lambda: a @ b}, 8, device, clock, warm_up=2)[""]
    return 2 * side**3 / min(seconds)


def flops(call: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products, convolutions and attention in `call`, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def ratio(seconds: dict[str, list[float]], name: str, other: str) -> float:
    """How many times as fast as `other` `name` is: the median over the rounds."""
    return statistics.median(theirs / ours for ours, theirs in zip(seconds[name], seconds[other]))


def machine(device: str) -> dict[str, object]:
    """What was measured on, and with which versions."""
    known = {dist.metadata["Name"].lower() for dist in metadata.distributions() if dist.metadata["Name"]}
    return {
        "device": torch.cuda.get_device_name()
        if device == "cuda"
        else f"CPU, {torch.backends.cpu.get_cpu_capability()}",
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in LIBRARIES if name in known},
    }


def write_result(args: argparse.Namespace, rows: list[dict[str, object]], **more: object) -> None:
    """Writes the rows of a table, and all that is needed to judge and to repeat them, to `args.output`."""
    program = Path(sys.argv[0])
    command = f"python benchmarks/{program.name} {shlex.join(sys.argv[1:])}".strip()
    when = time.strftime("%Y-%m-%d")
    result = {
        "command": command,
        "date": when,
        "clock": args.clock,
        "machine": machine(args.device),
        **more,
        "rows": rows,
    }
    path = args.output or RESULTS / f"{args.result}_{args.device}.json"
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")
    print(f"Wrote:   {path.absolute()}")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
