"""A million pictures of 32x32 in one tar: how fast the cache is built, opened and read, and what memory that takes.

    python benchmarks/million.py                            # 100,000 pictures
    python benchmarks/million.py --pictures 1000000

The pictures are JPEGs, made on the spot, each another. The build is killed (SIGKILL) half way and given again; then the cache
is opened by a new process, a training of Mnist_Mini's network starts on it, and batches are read at random as a training on a
machine of little memory would: from the mapped file, by a thread. Memory is the largest sum of what the processes hold for
themselves (USS): pages of mapped files, which the system takes back when it needs them, are not in it.
"""

import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a program, it sees the project's folders

import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import numpy as np  # noqa: E402
import psutil  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks.side_by_side import parser, write_result  # noqa: E402
from datasets import Batches, ImageDataset  # noqa: E402
from datasets.decoding import core_num  # noqa: E402

SIDE, PART = 32, 2000
TRAINED = {"base_channels": 24, "channel_mult": [1, 2], "num_res_blocks": 1, "attention_resolutions": [], "norm_groups": 8}
LOAD = "import sys; from datasets import ImageDataset; ImageDataset('folder', sys.argv[1], 32, cache_dir=sys.argv[2]).load()"


class Watch:
    """Of a process and those that it started, while this context lasts: the largest memory that they hold for themselves, in
    MB, and the processor seconds that they took."""

    def __init__(self, process: psutil.Process):
        self.process, self.peak, self._stop = process, 0.0, threading.Event()
        self._taken: dict[int, float] = {}

    @property
    def processor_seconds(self) -> float:
        return sum(self._taken.values())

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            try:
                family = [self.process, *self.process.children(recursive=True)]
                self.peak = max(self.peak, sum(one.memory_full_info().uss for one in family) / 1e6)
                self._taken |= {one.pid: sum(one.cpu_times()[:2]) for one in family}
            except psutil.Error:
                continue


def encoded(seed: int) -> list[bytes]:
    """`PART` JPEGs of coloured clouds."""
    small, files = np.random.default_rng(seed).integers(0, 256, (PART, 8, 8, 3), np.uint8), []
    for pixels in small:
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files


def make_tar(path: Path, count: int) -> None:
    """A tar of `count` JPEGs in folders of 10,000."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive, ProcessPoolExecutor(core_num()) as pool:
        for seed, files in enumerate(pool.map(encoded, range(-(-count // PART)))):
            for number, content in enumerate(files[: count - seed * PART], seed * PART):
                member = tarfile.TarInfo(f"{number // 10_000:05d}/{number:08d}.jpg")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            archive.members = []  # it would keep them


def started_build(tar: Path, cache: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", LOAD, str(tar), str(cache)], cwd=ROOT, stderr=subprocess.DEVNULL)


def journalled(cache: Path) -> int:
    """How many pictures a build has noted down as done."""
    for path in cache.glob(".*.journal"):
        lines = path.read_text().split("\n")[1:-1]
        return sum(stop - start for start, stop, _ in map(json.loads, lines))
    return 0


def build(tar: Path, cache: Path, count: int) -> dict[str, float]:
    """Builds the cache, killed half way."""
    start = time.perf_counter()
    process = started_build(tar, cache)
    with Watch(psutil.Process(process.pid)) as memory:
        while not list(cache.glob(".*.journal")) and process.poll() is None:
            time.sleep(0.05)
        first_noted = time.perf_counter() - start
        while journalled(cache) < count // 2 and process.poll() is None:
            time.sleep(0.05)
        process.kill()
        process.wait()
        killed_after, kept = time.perf_counter() - start, journalled(cache)
    start = time.perf_counter()
    process = started_build(tar, cache)
    with Watch(psutil.Process(process.pid)) as second:
        status = process.wait()
    if status:
        raise RuntimeError(f"the build ended with status {status}")
    resumed = time.perf_counter() - start
    return {
        "seconds": killed_after + resumed,
        "seconds_until_the_first_were_kept": first_noted,
        "pictures_per_second": count / (killed_after + resumed),
        "processor_seconds": memory.processor_seconds + second.processor_seconds,
        "kept_at_the_kill": kept,
        "seconds_after_it": resumed,
        "memory_mb": max(memory.peak, second.peak),
    }


def opening(tar: Path, cache: Path) -> dict[str, float]:
    """Opens the cache in a new process, which has loaded what it needs already."""
    program = (
        "import sys, time, psutil; from datasets import ImageDataset; import datasets.load\n"
        "before, start = psutil.Process().memory_full_info().uss, time.perf_counter()\n"
        "data = ImageDataset('folder', sys.argv[1], 32, cache_dir=sys.argv[2])\n"
        "count, images = data.count(), data.load().images\n"
        "print(count, time.perf_counter() - start, (psutil.Process().memory_full_info().uss - before) / 1e6)\n"
    )
    command = [sys.executable, "-c", program, str(tar), str(cache)]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    return {"seconds": float(found[1]), "memory_mb": float(found[2])}


def training(tar: Path, cache: Path, folder: Path, device: str) -> dict[str, float]:
    """Seconds from the command to the first logged step of a training, and its memory until then."""
    data = {"data_path": str(tar), "image_size": SIDE, "cache_dir": str(cache)}
    config = {"Train_Data": {"Million": {"data": data, "model": TRAINED, "train": {"batch_size": 32, "log_every": 1}}}}
    (folder / "config.yaml").write_text(json.dumps(config))  # which is YAML
    command = [sys.executable, "train_solver.py", "--data_name", "Million", "--config", str(folder / "config.yaml")]
    command += ["--save_dir", str(folder / "run"), "--device", device]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = folder / "run" / "log.jsonl"
    with Watch(psutil.Process(process.pid)) as memory:
        while not (log.exists() and log.stat().st_size):
            if process.poll() is not None or time.perf_counter() - start > 300:
                raise RuntimeError(f"{' '.join(command)} logged no step")
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        time.sleep(0.5)  # another look at the memory
    process.kill()
    process.wait()
    return {"seconds": seconds, "processor_seconds": memory.processor_seconds, "memory_mb": memory.peak}


def reading(tar: Path, cache: Path, device: str, seconds: float, batch_size: int = 128) -> dict[str, float]:
    """Pictures a second of random batches from the mapped file, mirrored by chance and on the device."""
    torch.set_num_threads(1)  # what a training of a small network takes
    images = ImageDataset("folder", str(tar), SIDE, cache_dir=str(cache)).load().images
    batches = Batches(images, batch_size, 0, True, torch.device(device), resident_bytes=0)
    batches[0]
    k, start, taken = 1, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        batches[k]
        k += 1
    count = (k - 1) * batch_size
    return {
        "seconds": seconds,
        "pictures_per_second": count / (time.perf_counter() - start),
        "processor_seconds": time.process_time() - taken,
        "read": count,
    }


def main() -> None:
    options = parser(__doc__, "million")
    options.add_argument("--pictures", type=int, default=100_000)
    options.add_argument("--folder", help="where the tar and the cache are made (a temporary folder)")
    args = options.parse_args()
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    tar, cache, rows = folder / "pictures.tar", folder / "cache", []
    try:
        start = time.perf_counter()
        make_tar(tar, args.pictures)
        print(f"made {args.pictures:,} JPEGs, {tar.stat().st_size / 1e6:,.0f} MB, in {time.perf_counter() - start:.0f} s")
        for what, call in {
            "build, killed half way and given again": lambda: build(tar, cache, args.pictures),
            "open": lambda: opening(tar, cache),
            "start of a training": lambda: training(tar, cache, folder, args.device),
            "random reads, streamed": lambda: reading(tar, cache, args.device, 10),
        }.items():
            rows.append({"what": what, **call()})
            print(rows[-1], flush=True)
        more = {"pictures": args.pictures, "processes": core_num(), "tar_mb": round(tar.stat().st_size / 1e6)}
        write_result(args, rows, **more, cache_mb=round(sum(path.stat().st_size for path in cache.glob("*.npy")) / 1e6))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
