"""Pictures a second from the cache, beside torchvision's ImageFolder with a DataLoader; and what the cache costs to build.

    python benchmarks/data_pipeline.py

A folder of random PNGs stands for a data set. Ours is what training asks for: batch k on the device, flipped, as floats, from
memory, and as a set too large for that would be read (streamed from the file by a thread). ImageFolder decodes each picture
each time, with 0 workers and with as many as there are cores.
"""

import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.contestants import picture_folder  # noqa: E402
from benchmarks.side_by_side import parser, ratio, synchronize, take_turns, write_result  # noqa: E402
from datasets import Batches, ImageDataset, to_float  # noqa: E402


def from_cache(images: np.ndarray, batch_size: int, device: str, resident: bool) -> Iterator[Tensor]:
    """Our batches, (B, C, H, W) in [-1, 1] on the device."""
    limit = None if resident else 0
    batches = Batches(images, batch_size, 0, True, torch.device(device), resident_bytes=limit)
    return (to_float(batches[k].images) for k in itertools.count())


def from_image_folder(folder: Path, size: int, batch_size: int, device: str, workers: int) -> Iterator[Tensor]:
    """The same from ImageFolder, as its tutorials have it."""
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.RandomHorizontalFlip()]
    steps += [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    pictures = ImageFolder(str(folder), transforms.Compose(steps))
    loader = DataLoader(
        pictures,
        batch_size,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        pin_memory=device == "cuda",
        persistent_workers=workers > 0,
    )
    while True:
        for batch, _ in loader:
            yield batch.to(device, non_blocking=True)


def asking_for(batches: Iterator[Tensor], count: int) -> Callable[[], None]:
    """Takes `count` batches."""
    return lambda: [next(batches) for _ in range(count)] and None


def main() -> None:
    options = parser(__doc__, "data_pipeline")
    options.add_argument("--pictures", type=int, default=2000)
    options.add_argument("--size", type=int, default=64, help="side of the pictures")
    options.add_argument("--batch_size", type=int, default=64)
    options.add_argument("--batches", type=int, default=10, help="asked for at a turn")
    options.add_argument("--rounds", type=int, default=5)
    args = options.parse_args()
    root = Path(tempfile.mkdtemp())
    shape = (args.pictures, 3, args.size, args.size)
    picture_folder(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), root / "pictures" / "all")
    data = ImageDataset("folder", str(root / "pictures"), args.size, cache_dir=str(root / "cache"))
    start = time.perf_counter()
    data.load(progress=False)
    build_seconds = time.perf_counter() - start
    start = time.perf_counter()
    images = data.load(progress=False).images
    open_seconds = time.perf_counter() - start

    size, folder = args.batch_size, root / "pictures"
    sources = {
        "ours, in memory": from_cache(images, size, args.device, True),
        "ours, streamed": from_cache(images, size, args.device, False),
        "ImageFolder, 0 workers": from_image_folder(folder, args.size, size, args.device, 0),
        f"ImageFolder, {os.cpu_count()} workers": from_image_folder(
            folder, args.size, size, args.device, os.cpu_count()
        ),
    }
    turns = {name: asking_for(batches, args.batches) for name, batches in sources.items()}
    seconds = take_turns(turns, args.rounds, args.device, args.clock)
    synchronize(args.device)
    pictures = args.batches * args.batch_size
    rows = [
        {
            "source": name,
            "pictures_per_second": pictures / sorted(times)[len(times) // 2],
            "times_as_fast_as_image_folder": ratio(seconds, name, "ImageFolder, 0 workers"),
        }
        for name, times in seconds.items()
    ]
    more = {"pictures": args.pictures, "size": args.size, "build_seconds": build_seconds, "open_seconds": open_seconds}
    print(rows, more)
    write_result(args, rows, **more)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
