"""Peak memory of training and of drawing: this project beside its peers, each in a process of its own.

    python benchmarks/memory.py                       # --device cuda where there is one

On a GPU what torch allocated at most; on a CPU the process's largest resident size, less what it was before the network was
built (the libraries alone are hundreds of megabytes, and differ).
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.contestants import How, diffusers, ours, picture_folder  # noqa: E402
from benchmarks.lucidrains import lucidrains, matched_width  # noqa: E402
from benchmarks.side_by_side import flops, parser, write_result  # noqa: E402
from benchmarks.workloads import WORKLOADS  # noqa: E402
from diffusion import SampleInfo, build_diffusion  # noqa: E402
from models import build_model  # noqa: E402
from sampling.drawing import draw  # noqa: E402
from utils.device import pick_channels_last, reuse_freed_memory  # noqa: E402
from utils.precision import at_precision, pick_precision  # noqa: E402
from utils.settings import Settings  # noqa: E402

CONTESTANTS = ("ours", "diffusers", "denoising-diffusion-pytorch")
MIB = 2**20


def peak(device: str) -> int:
    """Bytes: the most that was in use so far."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def our_drawing(settings: Settings, precision: str, device: torch.device) -> Callable[[int, int], object]:
    """count, steps -> pictures, by one copy of the weights, as test_solver.py holds them. (`ours` trains, too: three.)"""
    reuse_freed_memory()
    model = build_model(**settings.model_arguments()).to(device).eval()
    if pick_channels_last(settings.run.channels_last, device, precision, training=False):
        model.to(memory_format=torch.channels_last)
    network, diffusion = at_precision(model, precision, device), build_diffusion(**settings.diffusion.model_dump())
    shape = (settings.data.image_channel, settings.data.image_size, settings.data.image_size)
    diffusion.to(device)
    return lambda count, steps: draw(network, diffusion, SampleInfo("DDIM", steps, 0.0), range(count), shape, device)


def measure_one(name: str, work: str, args) -> None:
    """In the process of its own: prints the bytes that `work`, train or draw, takes at its peak."""
    load = WORKLOADS[args.size]
    settings = load.settings(args.device, args.batch_size)
    batch = settings.train.batch_size
    data = settings.data
    shape = (2 * batch, data.image_channel, data.image_size, data.image_size)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    precision = pick_precision("auto", torch.device(args.device)) if name == "ours" else "fp32"
    how = How(args.device, batch, name != "ours", precision)
    width = 0
    if name == CONTESTANTS[2]:
        network = build_model(**settings.model_arguments())
        picture = torch.zeros(1, *shape[1:]), torch.zeros(1, dtype=torch.long)
        with torch.no_grad():
            width = matched_width(flops(lambda: network(*picture)), shape[2], shape[1], load.peer_mults)
    import denoising_diffusion_pytorch  # noqa: F401  (all that any of them loads, for each of them)
    from diffusers import DDIMPipeline  # noqa: F401

    before = peak(args.device)
    if (name, work) == ("ours", "draw"):
        draw_pictures = our_drawing(settings, precision, torch.device(args.device))
        for _ in range(2):
            draw_pictures(batch, 2)
        print(json.dumps({"bytes": peak(args.device) - before, "batch": batch}))
        return
    contestant = {
        "ours": lambda: ours(settings, images, how),
        "diffusers": lambda: diffusers(settings, images, how),
        CONTESTANTS[2]: lambda: lucidrains(
            images, how, picture_folder(images, Path(tempfile.mkdtemp())), width, load.peer_mults, 0.0
        ),
    }[name]()
    for _ in range(2):
        contestant.step() if work == "train" else contestant.draw(batch, 2)
    print(json.dumps({"bytes": peak(args.device) - before, "batch": batch}))


def main() -> None:
    options = parser(__doc__, "memory")
    options.add_argument("--size", choices=WORKLOADS, default="ddpm")
    options.add_argument("--batch_size", type=int)
    options.add_argument("--one", nargs=2, metavar=("CONTESTANT", "WORK"), help="measure one, in this process")
    args = options.parse_args()
    if args.one:
        measure_one(*args.one, args)
        return
    rows = []
    for work in ("train", "draw"):
        for name in CONTESTANTS:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", name, work]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(done.stdout.strip().splitlines()[-1])
            row = {"work": work, "contestant": name, "batch": found["batch"], "peak_mib": found["bytes"] / MIB}
            rows.append(row)
            print(row, flush=True)
    write_result(args, rows, size=args.size)


if __name__ == "__main__":
    main()
