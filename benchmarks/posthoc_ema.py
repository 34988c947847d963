"""Is an average of the weights whose length is chosen after the training better than the recipe's?

    OMP_NUM_THREADS=1 python benchmarks/posthoc_ema.py --clock cpu

Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", Sec. 3: averages by a power profile,
theta_gamma(t) ~ the integral of tau^gamma theta(tau), are kept for two gammas and saved at a few moments of a training.
Afterwards the average of any other length sigma_rel is made as the linear combination of what was saved whose profile is
nearest to the wanted one (Algorithm 3).

The digits' recipe, or a variant of it, is trained by --trainings seeds, as many steps as took --seconds of recipe_ablation.py
(its record says), or --epochs. Each length draws --pictures digits, measured and judged as there: paired by seed, beside the
recipe's own average.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders

import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from benchmarks.paired import MARGINS  # noqa: E402
from benchmarks.recipe_ablation import RECIPE, VARIANTS, Evaluation, begin, evaluation_of_digits, settings_of  # noqa: E402
from benchmarks.side_by_side import CLOCKS, RESULTS, parser, write_result  # noqa: E402

DATA_NAME = "Mnist_Mini"
OWN = "the recipe's average"
TRACKED = (0.05, 0.10)  # the lengths that are kept in training: the paper's
SNAPSHOTS = 16  # moments of a training at which they are saved
LENGTHS = (0.05, 0.10, 0.20)


def gamma_of(sigma_rel: float) -> float:
    """The exponent whose profile has a standard deviation of `sigma_rel` of the training (Eq. 126 and Algorithm 2).

    sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)); ValueError where no gamma of 0 or more has it.
    """
    if not 0 < sigma_rel <= 12**-0.5:
        raise ValueError(f"a power profile's length lies in (0, {12**-0.5:.3f}], not {sigma_rel}")
    t = sigma_rel**-2
    return float(max(np.roots([1, 7, 16 - t, 12 - t]).real.max(), 0.0))


def profile_products(t_a: np.ndarray, gamma_a: np.ndarray, t_b: np.ndarray, gamma_b: np.ndarray) -> np.ndarray:
    """Inner products of the profiles p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1) on [0, t], broadcast (Eq. 151)."""
    ratio = t_a / t_b
    exponent = np.where(t_a < t_b, gamma_b, -gamma_a)
    return (gamma_a + 1) * (gamma_b + 1) * ratio**exponent / ((gamma_a + gamma_b + 1) * np.maximum(t_a, t_b))


def combination(times: np.ndarray, gammas: np.ndarray, end: float, gamma: float) -> np.ndarray:
    """The shares, (N,), of the averages of `gammas` at `times`, (N,), in that of `gamma` at `end`: least squares, of sum 1."""
    between = profile_products(times[:, None], gammas[:, None], times, gammas)
    wanted = profile_products(times, gammas, np.array(end), np.array(gamma))
    shares = np.linalg.lstsq(between, wanted, rcond=None)[0]
    return shares / shares.sum()


class Snapshot(NamedTuple):
    """An average of the weights with exponent `gamma`, as it was after `step` steps."""

    step: int
    gamma: float
    weights: list[Tensor]


class PowerEMA:
    """Averages of a model's weights by power profiles, one for each of `gammas`, and copies of them."""

    def __init__(self, model: nn.Module, gammas: Sequence[float]):
        self.averages = {gamma: [p.detach().clone() for p in model.parameters()] for gamma in gammas}
        self.snapshots: list[Snapshot] = []

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Takes in the weights after `step` steps, 1, 2, ...: beta = (1 - 1 / step)^(gamma + 1) (Eq. 127)."""
        for gamma, average in self.averages.items():
            torch._foreach_lerp_(average, list(model.parameters()), 1 - (1 - 1 / step) ** (gamma + 1))

    def save(self, step: int) -> None:
        """Keeps a copy of each average as it is after `step` steps."""
        for gamma, average in self.averages.items():
            self.snapshots.append(Snapshot(step, gamma, [weight.clone() for weight in average]))

    def weights_of(self, sigma_rel: float) -> list[Tensor]:
        """The average of length `sigma_rel` at the last snapshot, from all of them."""
        times = np.array([each.step for each in self.snapshots], dtype=np.float64)
        gammas = np.array([each.gamma for each in self.snapshots])
        shares = combination(times, gammas, times.max(), gamma_of(sigma_rel))
        parts = zip(*(each.weights for each in self.snapshots))
        return [sum(share * part.double() for share, part in zip(shares, of)).float() for of in parts]


def evaluate_training(args: argparse.Namespace, seed: int, steps: int, evaluation: Evaluation) -> list[dict]:
    """One training: a row for the recipe's average, and one for each length."""
    contestant, settings = begin(args, args.variant, seed, steps, evaluation.data)
    power_ema, now = PowerEMA(contestant.network, [gamma_of(length) for length in TRACKED]), CLOCKS[args.clock]
    moments = {round(steps * k / SNAPSHOTS) for k in range(1, SNAPSHOTS + 1)}
    start = now()
    for step in range(1, steps + 1):
        contestant.step()
        power_ema.update(contestant.network, step)
        if step in moments:
            power_ema.save(step)
    common = {"settings": " ".join(VARIANTS[DATA_NAME][args.variant]), "seed": seed, "seconds": round(now() - start, 1)}
    rows = [{"variant": OWN, **common, **evaluation.evaluate(contestant.draw, settings)}]
    for length in LENGTHS:
        for parameter, weight in zip(contestant.drawn.parameters(), power_ema.weights_of(length), strict=True):
            parameter.copy_(weight)
        rows.append({"variant": f"sigma_rel {length:g}", **common, **evaluation.evaluate(contestant.draw, settings)})
    print(*rows, sep="\n", flush=True)
    return rows


def main() -> None:
    options = parser(__doc__, "posthoc_ema")
    options.add_argument("--variant", choices=VARIANTS[DATA_NAME], default=RECIPE, help="what is trained")
    options.add_argument("--epochs", type=float, help="of a training (as many as took --seconds of recipe_ablation.py)")
    options.add_argument("--trainings", type=int, default=3, choices=range(1, 100), metavar="N")
    options.add_argument("--pictures", type=int, default=500, help="drawn and measured, of each length")
    options.set_defaults(data_name=DATA_NAME, steps=None)
    args = options.parse_args()
    evaluation = evaluation_of_digits(args)
    if args.epochs is None:
        steps = json.loads((RESULTS / "recipe_ablation_cpu.json").read_text())["steps"][args.variant]
    else:
        batch = settings_of(DATA_NAME, args.variant).train.batch_size
        steps = round(args.epochs * len(evaluation.data.images) / batch)
    rows: list[dict] = []
    for seed in range(args.trainings):
        rows += evaluate_training(args, seed, steps, evaluation)
        record = {name: getattr(args, name) for name in ("data_name", "trainings", "pictures")}
        record["seconds"] = statistics.mean(row["seconds"] for row in rows)
        record["steps"] = dict.fromkeys((row["variant"] for row in rows), steps)
        write_result(args, rows, **record, margins=MARGINS[DATA_NAME], real=evaluation.real)


if __name__ == "__main__":
    main()
