"""Seconds from the command to its first answer: `--help`, and the first training step, with the pictures decoded already.

    python benchmarks/start.py

Wall clock, of whole processes, until the log holds the first step; on a machine that does nothing else.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a program, it sees the project's folders

from benchmarks.side_by_side import parser, write_result  # noqa: E402

LIMIT = 300  # seconds


def help_shown(script: str) -> float:
    """Seconds of `python SCRIPT --help`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, script, "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def first_step(data_name: str, device: str) -> float:
    """Seconds until a training has logged its first step; it is ended then. RuntimeError if it ends by itself before."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "train_solver.py",
            "--data_name",
            data_name,
            "--device",
            device,
            "--save_dir",
            folder,
        ]
        start = time.perf_counter()
        command += ["--set", "train.log_every=1"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            log = Path(folder) / "log.jsonl"
            while not (log.exists() and log.stat().st_size):
                if process.poll() is not None or time.perf_counter() - start > LIMIT:
                    raise RuntimeError(f"{' '.join(command)} logged no step within {LIMIT} s")
                time.sleep(0.005)
            return time.perf_counter() - start
        finally:
            process.kill()
            process.wait()


def main() -> None:
    options = parser(__doc__, "start")
    options.add_argument("--data_name", default="Mnist_Mini")
    options.add_argument("--rounds", type=int, default=5)
    args = options.parse_args()
    first_step(args.data_name, args.device)  # decodes the pictures, and brings the files into memory
    asked = {
        "train_solver.py --help": lambda: help_shown("train_solver.py"),
        "test_solver.py --help": lambda: help_shown("test_solver.py"),
        f"first step of {args.data_name}": lambda: first_step(args.data_name, args.device),
    }
    rows = []
    for what, call in asked.items():
        seconds = [call() for _ in range(args.rounds)]
        rows.append({"what": what, "seconds": statistics.median(seconds), "longest": max(seconds)})
        print(rows[-1], flush=True)
    write_result(args, rows)


if __name__ == "__main__":
    main()
