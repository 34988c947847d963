"""What a training spends beside its steps: saving and the monitor, as shares of its time at the data set's own settings.

It waits for the copy of its state ("saving: copy"); the copy is written while it goes on ("saving: write").

    python benchmarks/training_overheads.py                       # --data_name Cifar10 --device cuda where there is one

A share is measured as its seconds over those of the steps between two savings, or two steps, all in the same turns. The
calls are train_solver.py's own, on its own network and batch; saving writes to a temporary folder's disk and waits for it.
"""

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import numpy as np  # noqa: E402
import torch  # noqa: E402

import train_solver  # noqa: E402
from benchmarks.side_by_side import parser, take_turns, write_result  # noqa: E402
from datasets import LabelledImages  # noqa: E402
from diffusion import build_diffusion  # noqa: E402
from training.step import train_step  # noqa: E402
from utils.config import load_settings  # noqa: E402
from utils.distributed import Ranks  # noqa: E402
from utils.precision import at_precision, pick_precision  # noqa: E402

STEPS = 10  # in a turn


def main() -> None:
    options = parser(__doc__, "training_overheads")
    options.add_argument("--data_name", nargs="+", default=["Mnist_Mini"])
    options.add_argument("--rounds", type=int, default=7, help="measured turns")
    args = options.parse_args()
    rows = [row for name in args.data_name for row in measure(name, args)]
    for row in rows:
        print(
            f"{row['data_name']}: {row['what']}: {row['seconds']:.4f} s every {row['every']} steps, {row['share']:.3%}"
        )
    write_result(args, rows)


def measure(data_name: str, args) -> list[dict[str, object]]:
    """A row for each part of saving and one for the monitor: seconds, how often, and the share of the training time."""
    settings = load_settings("config.yaml", data_name, ["model.num_classes=0"])  # random pictures have no labels
    ranks = Ranks(args.device)
    trainer = train_solver.build_trainer(settings, train_solver.build_network(settings, ranks), ranks)
    shape = (settings.data.image_channel, settings.data.image_size, settings.data.image_size)
    train, batch = settings.train, settings.train.batch_size
    images = np.random.default_rng(0).integers(0, 256, (512, *shape), dtype=np.uint8)
    batches = train_solver.build_batches(settings, LabelledImages(images, None, ()), ranks)
    options = train_solver.step_options(settings)
    diffusion = build_diffusion(**settings.diffusion.model_dump()).to(ranks.device)
    network = at_precision(
        trainer.model,
        pick_precision(settings.run.precision, ranks.device),
        ranks.device,
    )
    t, losses = torch.arange(batch, device=ranks.device), torch.rand(batch, device=ranks.device)

    def steps() -> None:
        for _ in range(STEPS):
            train_step(trainer, network, diffusion, batches, options, ranks)
            trainer.step += 1

    def monitor() -> None:
        for step in range(train.log_every):
            trainer.monitor.note_losses(t, losses)
            trainer.monitor.note_gradient(step, losses[0], scaled=False)
        trainer.monitor.first_nonfinite_step()
        trainer.monitor.warnings(trainer.monitor.figures(ranks), train.grad_clip, True)

    with tempfile.TemporaryDirectory() as folder:
        contestants = {
            "steps": steps,
            "monitor": monitor,
            "saving: copy": trainer.snapshot,
            "saving: write": lambda: trainer.save(Path(folder)),
        }
        seconds = take_turns(contestants, args.rounds, args.device, args.clock)
    step = statistics.median(seconds["steps"]) / STEPS
    rows = []
    for what, every in (
        ("saving: copy", train.save_every),
        ("saving: write", train.save_every),
        ("monitor", train.log_every),
    ):
        spent = statistics.median(seconds[what])
        row = {"data_name": data_name, "what": what, "seconds": spent, "every": every, "step_seconds": step}
        rows.append(row | {"share": spent / (every * step)})
    return rows


if __name__ == "__main__":
    main()
