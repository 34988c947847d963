"""Steps a second of training and of drawing, idle and beside busy processes, by how threads wait and how many they are.

    python benchmarks/threads.py                    # the digits, in turns; a few minutes on a machine that does nothing else
    python benchmarks/threads.py --size emoji --busy 2 --rounds 5

Each measurement is a process of its own, as the wait policy is read when torch is loaded. `auto` is what the scripts do.
Ratios are medians over the rounds, of rates measured one after another.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a program, it sees the project's folders

import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)
from utils.threads import NUMBER_VARIABLES, WAIT_VARIABLES, threads_for, use_threads  # noqa: E402

ENTRIES = {"digits": "Mnist_Mini", "emoji": "Emoji"}
WAYS = {
    "auto": {},
    "spinning": {"OMP_WAIT_POLICY": "active"},
    "spinning, 1 thread": {"OMP_WAIT_POLICY": "active", "OMP_NUM_THREADS": "1"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "passive, 1 thread": {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"},
}
BUSY = [sys.executable, "-c", "while True: pass"]


def measure(work: str, size: str, seconds: float, all_threads: bool) -> float:
    """Steps of training, or calls of the network in drawing 16 pictures, a second; in this process, by its environment."""
    import torch

    from diffusion import SampleInfo, build_diffusion
    from models import build_model
    from sampling.drawing import draw
    from utils.config import load_settings
    from utils.precision import at_precision, pick_precision

    settings = load_settings(str(ROOT / "config.yaml"), ENTRIES[size])
    device, count = torch.device("cpu"), settings.train.batch_size
    shape = (settings.data.image_channel, settings.data.image_size, settings.data.image_size)
    model, diffusion = build_model(**settings.model_arguments()), build_diffusion(**settings.diffusion.model_dump())
    network = at_precision(model, pick_precision("auto", device), device)
    if work == "training":
        if not all_threads:
            use_threads(count, model.base_channels, shape[1] * shape[2] // model.patch_size**2)
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        x_0, noise, t = torch.randn(count, *shape), torch.randn(count, *shape), torch.randint(1000, (count,))

        def step() -> int:
            optimizer.zero_grad()
            diffusion.training_losses(network, x_0, t, noise).mean().backward()
            optimizer.step()
            return 1
    else:
        info, values = SampleInfo.parse("DDIM_10_0p0"), 16 * model.base_channels * (shape[1] // model.patch_size) ** 2

        def step() -> int:
            with nullcontext() if all_threads else threads_for(values):
                draw(network, diffusion, info, range(16), shape, device)
            return info.steps

    step()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        done += step()
    return done / (time.perf_counter() - start)


def in_process(work: str, way: str, busy: int, args: argparse.Namespace) -> float:
    """`measure` in a process of its own, beside `busy` others that only compute."""
    given = {name: value for name, value in os.environ.items() if name not in (*WAIT_VARIABLES, *NUMBER_VARIABLES)}
    command = [sys.executable, __file__, "--measure", work, "--size", args.size, "--seconds", str(args.seconds)]
    if way != "auto":
        command.append("--all_threads")
    others = [subprocess.Popen(BUSY) for _ in range(busy)]
    try:
        environment = given | WAYS[way]
        return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--size", choices=ENTRIES, default="digits")
    options.add_argument("--busy", type=int, default=1, help="processes that only compute, beside the measured one")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    options.add_argument("--output", type=Path, metavar="FILE", help="benchmarks/results/threads_cpu.json")
    options.add_argument("--measure", choices=["training", "drawing"], help=argparse.SUPPRESS)
    options.add_argument("--all_threads", action="store_true", help=argparse.SUPPRESS)
    args = options.parse_args()
    if args.measure:
        print(measure(args.measure, args.size, args.seconds, args.all_threads))
        return
    from benchmarks.side_by_side import write_result

    rows, best = [], {}
    rates: dict[tuple[str, str, int], list[float]] = {}
    for turn in range(args.rounds):
        for work in ("training", "drawing"):
            for way in WAYS:
                for busy in (0, args.busy):
                    rates.setdefault((work, way, busy), []).append(in_process(work, way, busy, args))
        print(f"round {turn + 1} of {args.rounds}: load {os.getloadavg()[0]:.1f}", flush=True)
    for work in ("training", "drawing"):
        for way in WAYS:
            idle, beside = (rates[work, way, busy] for busy in (0, args.busy))
            best[work] = max(best.get(work, 0), statistics.median(idle))
            rows.append(
                {
                    "work": work,
                    "way": way,
                    "steps_per_second": statistics.median(idle),
                    "beside_busy": statistics.median(beside),
                    "share_kept": statistics.median(b / a for a, b in zip(idle, beside)),
                }
            )
    for row in rows:
        row["of_best_idle"] = row["beside_busy"] / best[row["work"]]
        print({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})
    args.device, args.clock, args.result = "cpu", "wall", "threads"
    write_result(args, rows, size=args.size, busy=args.busy)


if __name__ == "__main__":
    main()
