"""From nothing to digits in one to four calls: a teacher and its student, or MeanFlow, at equal seconds of training.

    OMP_NUM_THREADS=1 python benchmarks/meanflow.py --clock cpu

The one way: the entry Mnist_Mini of config.yaml is trained for --epochs, and from it, for half as many (its step costs twice
as much), the student of train.student=consistency, with a fifth of the learning rates, as docs/students.md has it. Drawn with
CM_1, CM_2, CM_4.

The other: MeanFlow (Geng et al. 2025), with the same network but for the second time that it is told, the same pictures,
batches, optimizer, learning rates, EMA and precision, as many steps as fill the seconds that the one way took with its first
seed. So a training is the same whatever else the machine does. Labels, but no guidance, in both; the teacher is the entry's,
which drops one label in ten. The seconds of the one way are those of two runs of train_solver.py, with their checkpoints and
one sheet of pictures each; they are given to MeanFlow as steps.

Each training draws --pictures digits, seeds 0 and up, of the classes as often as the data has them; FID to the 7,000 training
digits in the features of the digits' extractor. How a difference is judged is stated in paired.py; trainings of one seed are a
pair.

The record is written after each training. Given again, the program makes those that are missing.
"""

import argparse
import contextlib
import copy
import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.autograd.forward_ad as forward_ad  # noqa: E402
from torch import Tensor, nn  # noqa: E402

import train_solver  # noqa: E402
from benchmarks.experiments.trial import Judge  # noqa: E402
from benchmarks.paired import MARGINS  # noqa: E402
from benchmarks.recipe_ablation import read_record  # noqa: E402
from benchmarks.side_by_side import CLOCKS, RESULTS, parser, write_result  # noqa: E402
from datasets import Batches, ImageDataset, LabelledImages, to_float, to_uint8  # noqa: E402
from diffusion import SampleInfo  # noqa: E402
from evaluation.drawn import draw_pictures  # noqa: E402
from models import build_model  # noqa: E402
from models.unet import timestep_embedding, two_layers  # noqa: E402
from sampling import load_trained  # noqa: E402
from sampling.drawing import batches_of  # noqa: E402
from sampling.labels import labels_for  # noqa: E402
from training.ema import EMA  # noqa: E402
from training.optimizers import build_optimizer, set_learning_rate  # noqa: E402
from utils.checkpoints import WEIGHTS_FILE, load_checkpoint  # noqa: E402
from utils.command_line import parse_args  # noqa: E402
from utils.config import load_settings  # noqa: E402
from utils.precision import DTYPES, at_precision, pick_precision  # noqa: E402
from utils.seeds import PictureNoise, generator  # noqa: E402
from utils.settings import Settings  # noqa: E402

DATA_NAME = "Mnist_Mini"
DISTILLED, MEANFLOW = "a teacher and its student", "MeanFlow"
CALLS = (1, 2, 4)
PROBES = 20  # steps by which MeanFlow's speed is known
TIMES = 30  # what times of 0 to 1 are multiplied by for their sinusoids: with 1,000 the derivative grows without bound

# MeanFlow's own settings, those that the paper chose (Table 1): t and r are sigmoids of N(MEAN, STD^2), r the smaller of the
# two, and but for a SHARE of the batch equal to t; a loss is divided by (its value + 0.001)^POWER.
SHARE, MEAN, STD, POWER = 0.25, -0.4, 1.0, 1.0

Network = Callable[[Tensor, Tensor, tuple[Tensor, Tensor]], Tensor]


class GapAndClass(nn.Module):
    """(labels, gap) -> what is added to the embedding of t: (B,) classes and (B,) t - r, times TIMES -> (B, D)."""

    def __init__(self, classes: nn.Embedding, base_channels: int):
        super().__init__()
        self.classes, self.base_channels = classes, base_channels
        self.gap = two_layers(base_channels, classes.embedding_dim)

    def forward(self, labels_and_gap: tuple[Tensor, Tensor]) -> Tensor:
        labels, gap = labels_and_gap
        sinusoids = timestep_embedding(gap, self.base_channels)
        return self.classes(labels) + self.gap(sinusoids.to(self.classes.weight.dtype))


def build_network(settings: Settings) -> nn.Module:
    """The entry's UNet, told t - r beside t."""
    network = build_model(**settings.model_arguments())
    network.class_embed = GapAndClass(network.class_embed, network.base_channels)
    return network


def per_picture(value: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1)."""
    return value[:, None, None, None]


def mean_velocity(network: Network, z: Tensor, r: Tensor, t: Tensor, labels: Tensor) -> Tensor:
    """u(z_t, r, t): the mean of the velocity noise - x_0 on the way from z_t = (1 - t) x_0 + t noise to z_r (Eq. 3).

    z: (B, C, H, W); r <= t: (B,) from 0 to 1; labels: (B,). The network is shown z of about unit variance, as on the other way.
    """
    return network(z / per_picture(((1 - t) ** 2 + t**2).sqrt()), t * TIMES, (labels, (t - r) * TIMES))


def mean_velocity_target(
    u: Callable[[Tensor, Tensor, Tensor], Tensor], z: Tensor, r: Tensor, t: Tensor, velocity: Tensor
) -> Tensor:
    """v - (t - r) du/dt, without gradient (Eq. 10 and 11): what u(z, r, t) is to be, (B, C, H, W).

    du/dt along the way, v d/dz + d/dt, is one product of the Jacobian with a vector, in forward mode (their Alg. 1).
    """
    with torch.no_grad(), forward_ad.dual_level():
        along = u(forward_ad.make_dual(z, velocity), r, forward_ad.make_dual(t, torch.ones_like(t)))
        return velocity - per_picture(t - r) * forward_ad.unpack_dual(along).tangent


class MeanFlow:
    """A training of MeanFlow by `settings`: their network, batches, optimizer, rates that fall to 0 after `steps`, and EMA."""

    def __init__(self, settings: Settings, data: LabelledImages, steps: int):
        train, seed = settings.train, settings.run.seed
        device = torch.device("cpu")
        torch.manual_seed(seed)
        self.network, self.steps = build_network(settings), steps
        self.seed, self.train = seed, train
        self.precision = pick_precision("auto", device)
        self.ema = EMA(self.network, train.ema_decay)
        # Autocast doesn't take forward-mode derivatives: they are of a copy whose weights are in that precision.
        self.copy = copy.deepcopy(self.network).to(DTYPES.get(self.precision, torch.float32))
        self.batches = Batches(
            data.images, train.batch_size, seed, False, device, labels=data.labels, rows=slice(0, train.batch_size)
        )
        rates = {"learning_rate": train.learning_rate, "muon_learning_rate": train.muon_learning_rate}
        betas = (train.adam_beta1, train.adam_beta2)
        self.optimizer = build_optimizer(train.optimizer, self.network, **rates, betas=betas)
        self.class_counts, self.done = np.bincount(data.labels).tolist(), 0

    def step(self) -> None:
        """One update of the weights and of their average."""
        fall = (1 - self.done / self.steps) * min(1, (self.done + 1) / max(1, self.train.warmup_steps))
        set_learning_rate(self.optimizer, self.train.learning_rate * fall)
        images, labels = self.batches[self.done]
        x_0, stream = to_float(images), generator("cpu", self.seed, "noise", self.done)
        noise = torch.randn(x_0.shape, generator=stream)
        both = torch.sigmoid(MEAN + STD * torch.randn(2, len(x_0), generator=stream))
        t, apart = both.amax(0), round(SHARE * len(x_0))
        r = torch.where(torch.arange(len(x_0)) < apart, both.amin(0), t)
        z, target = (1 - per_picture(t)) * x_0 + per_picture(t) * noise, noise - x_0

        with torch.no_grad():
            torch._foreach_copy_(list(self.copy.parameters()), list(self.network.parameters()))

        def u(z: Tensor, r: Tensor, t: Tensor) -> Tensor:
            return mean_velocity(self._copied, z, r, t, labels[:apart])

        first = mean_velocity_target(u, z[:apart], r[:apart], t[:apart], target[:apart])
        target = torch.cat([first, target[apart:]])

        network = at_precision(self.network, self.precision, torch.device("cpu"))
        error = (mean_velocity(network, z, r, t, labels) - target).square().flatten(1).sum(dim=1)
        loss = (error / (error.detach() + 1e-3) ** POWER).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.train.grad_clip)
        self.optimizer.step()
        self.ema.update(self.network, self.done)
        self.done += 1

    def _copied(self, z: Tensor, t: Tensor, y: tuple[Tensor, Tensor]) -> Tensor:
        return self.copy(z.to(next(self.copy.parameters()).dtype), t, y).float()

    @torch.no_grad()
    def draw(self, count: int, calls: int, batch_size: int = 100) -> Tensor:
        """Digits of the averaged weights in so many equal steps, of the classes as often as the data has them: uint8
        (count, C, H, W)."""
        network = at_precision(self.ema.model, self.precision, torch.device("cpu"))
        drawn = []
        for seeds in batches_of(range(count), batch_size):
            z = PictureNoise(seeds)(torch.empty(len(seeds), *self.batches[0][0].shape[1:]))
            labels = torch.tensor(labels_for(seeds, None, len(self.class_counts), class_counts=self.class_counts))
            for k in range(calls, 0, -1):
                t, r = torch.full((len(z),), k / calls), torch.full((len(z),), (k - 1) / calls)
                z = z - per_picture(t - r) * mean_velocity(network, z, r, t, labels)
            drawn.append(to_uint8(z.clamp(-1, 1)))
        return torch.cat(drawn)


def distil(args: argparse.Namespace, seed: int) -> tuple[dict[int, Tensor], float]:
    """A teacher and its student: the student's pictures by the number of calls, and the seconds that both took."""
    folder, now = args.runs / f"seed_{seed}", CLOCKS[args.clock]
    rates = load_settings("config.yaml", DATA_NAME).train
    student = {
        "train.teacher": folder / "teacher" / WEIGHTS_FILE,
        "train.student": "consistency",
        "train.train_epoch": args.epochs / 2,
        "train.learning_rate": rates.learning_rate / 5,
        "train.muon_learning_rate": rates.muon_learning_rate / 5,
    }
    shutil.rmtree(folder, ignore_errors=True)  # one that was stopped half-way would be gone on with, in fewer seconds
    start = now()
    for name, changes in {"teacher": {"train.train_epoch": args.epochs}, "student": student}.items():
        common = {"train.sample_every": 10**6, "train.save_every": 10**6, "train.save_minutes": "null"}
        words = [word for key, value in (common | changes).items() for word in ("--set", f"{key}={value}")]
        (folder / name).mkdir(parents=True, exist_ok=True)
        with open(folder / name / "output.txt", "a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
            asked = ["--data_name", DATA_NAME, "--save_dir", str(folder / name), "--seed", str(seed), *words]
            status = train_solver.main(parse_args(asked))
        if status:
            raise SystemExit(status)
    seconds, path = now() - start, folder / "student" / WEIGHTS_FILE
    trained = load_trained(load_checkpoint(path), path, torch.device("cpu"))
    samplers = {n: SampleInfo.parse(f"CM_{n}_0p0") for n in CALLS}
    return {n: draw_pictures(trained, info, range(args.pictures)).pictures for n, info in samplers.items()}, seconds


def steps_in(seconds: float, settings: Settings, data: LabelledImages, clock: str) -> int:
    """How many of MeanFlow's steps take so long, by the median of PROBES."""
    training, now, taken = MeanFlow(settings, data, PROBES + 2), CLOCKS[clock], []
    for _ in range(PROBES + 2):
        start = now()
        training.step()
        taken.append(now() - start)
    return round(seconds / statistics.median(taken[2:]))


def main() -> None:
    options = parser(__doc__, "meanflow")
    options.add_argument("--epochs", type=float, default=10.0, help="of the teacher")
    options.add_argument("--trainings", type=int, default=4, choices=range(1, 100), metavar="N")
    options.add_argument(
        "--pictures", type=int, default=1000, help="drawn and measured, of each training and number of calls"
    )
    options.add_argument("--runs", type=Path, default=Path("train_results/meanflow"), metavar="DIR")
    args = options.parse_args()
    args.output = args.output or RESULTS / f"{args.result}_{args.device}.json"
    asked = {name: getattr(args, name) for name in ("epochs", "trainings", "pictures")}
    asked["margins"] = {f"fid_{n}": MARGINS[DATA_NAME]["fid"] for n in CALLS}
    record, now = read_record(args.output, asked), CLOCKS[args.clock]
    rows, steps = record.get("rows", []), record.get("steps", {})
    done = {(row["variant"], row["seed"]) for row in rows}
    data = ImageDataset(**load_settings("config.yaml", DATA_NAME).data.model_dump()).load()
    judge = Judge(DATA_NAME)

    def note(variant: str, seed: int, seconds: float, drawn: dict[int, Tensor]) -> None:
        fids = {f"fid_{n}": round(judge.figures(pictures)["fid"], 4) for n, pictures in drawn.items()}
        rows.append({"variant": variant, "settings": "", "seed": seed, "seconds": round(seconds, 1)} | fids)
        print(rows[-1], flush=True)
        write_result(args, rows, **asked, seconds=rows[0]["seconds"], steps=steps, real={})

    for seed in range(args.trainings):
        settings = load_settings("config.yaml", DATA_NAME, [f"run.seed={seed}"])
        if (DISTILLED, seed) not in done:
            drawn, seconds = distil(args, seed)
            if not steps:
                steps[DISTILLED] = round(1.5 * args.epochs * len(data.images) / settings.train.batch_size)
                steps[MEANFLOW] = steps_in(seconds, settings, data, args.clock)
            note(DISTILLED, seed, seconds, drawn)
        if (MEANFLOW, seed) not in done:
            torch.set_num_threads(1)  # what a training of a small network takes
            training, start = MeanFlow(settings, data, steps[MEANFLOW]), now()
            for _ in range(training.steps):
                training.step()
            note(MEANFLOW, seed, now() - start, {n: training.draw(args.pictures, n) for n in CALLS})


if __name__ == "__main__":
    main()
