"""Timesteps learned for a model: those few at which a solver comes nearest to the solution of the model's own ODE.

python -m sampling.schedule MODEL DPMPP_6 learns them and writes them into the checkpoint; DPMPP_6_0p0_tuned draws with them.

GITS (Chen et al. 2024) and AYS (Sabour et al. 2024) learn timesteps by what a single step errs, or by a bound on it. Here it is
the finished pictures that count, so that it is the same for a solver that remembers its steps: the distance from what a fine
solution makes of the same noise, averaged over some seeds, is lowered by moving one timestep at a time.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.script import Arguments, run_script
from utils.threads import wait_passively


def parse_args() -> dict[str, Any]:
    """The command line: what `main` is given, by its names."""
    parser = Arguments("Learns the timesteps of a deterministic sampler for a model, and writes them into its checkpoint.")
    parser.prog = "-m sampling.schedule"
    parser.add_argument("model", metavar="MODEL", help="a model.safetensors")
    parser.add_argument("samplers", metavar="SAMPLER", nargs="+", help="METHOD_STEPS[_cfgSCALE], as in DPMPP_6, UNIPC_8_cfg1p5")
    parser.add_argument("--out", metavar="FILE", help="write the checkpoint there, and leave MODEL as it is")
    parser.add_argument("--seeds", type=int, default=32, metavar="N", help="pictures to learn from, and to check with (32)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    return vars(parser.parse_args())


if __name__ == "__main__":
    wait_passively()
    ARGS = parse_args()  # before torch is loaded, so that --help answers at once

import torch
from torch import Tensor

from diffusion import SampleInfo, sample
from diffusion.sample_info import TUNED
from diffusion.schedules import SPACINGS
from sampling.drawing import batches_of
from sampling.network import sampling_network
from sampling.trained import Trained, check_reversible, load_trained, parse_sampler
from utils.checkpoints import STATE_SUFFIXES, add_tuned_times, load_checkpoint
from utils.device import pick_device
from utils.errors import RequestError
from utils.files import check_writable
from utils.seeds import PictureNoise

SHARES = (1 / 2, 1 / 4, 1 / 8, 1 / 16)  # of the way to the neighbour, by which a timestep is moved
MOST_ROUNDS = 3  # over all timesteps, at each share
FINE_STEPS = 100  # of the solution that is aimed at, by UniPC
FIRST_SEED = 2**40  # far from the seeds that are drawn


def learn_times(error: Callable[[list[int]], float], start: list[int]) -> list[int]:
    """`start`, falling timesteps, with all but the first moved to lower `error`, which is asked once for each choice of them.

    Coordinate descent: each in turn is tried a share of the way to its neighbours, first half of it, at last a sixteenth.
    """
    known: dict[tuple[int, ...], float] = {}

    def error_of(times: list[int]) -> float:
        if tuple(times) not in known:
            known[tuple(times)] = error(times)
        return known[tuple(times)]

    times = list(start)
    for share in SHARES:
        for _ in range(MOST_ROUNDS):
            before = times
            for k in range(1, len(times)):
                above, t, below = times[k - 1], times[k], [*times, -1][k + 1]
                moved = {t + math.ceil(share * (above - t)), t - math.ceil(share * (t - below))}
                tried = [[*times[:k], other, *times[k + 1 :]] for other in sorted(moved) if below < other < above]
                times = min([times, *tried], key=error_of)
            if times == before:
                break
    return times


class Discretisation:
    """How far a few steps lead from the fine solution, for the pictures of some seeds; the model draws as `info` says."""

    def __init__(self, trained: Trained, info: SampleInfo, seeds: Sequence[int]):
        self.trained, self.info = trained, info
        self.starts = [self._start(batch) for batch in batches_of(seeds, trained.batch_size)]
        steps = min(FINE_STEPS, trained.diffusion.timestep_num)
        fine = SampleInfo("UNIPC", steps, 0.0, guidance=info.guidance)
        self.fine = self.solve(fine, fine.pairs_on(trained.diffusion))

    def _start(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """The noise and the classes of these seeds, as `sampling.drawing` has them."""
        device, labels = self.trained.device, self.trained.labels_of(seeds)
        x_T = PictureNoise(list(seeds))(torch.empty(len(seeds), *self.trained.shape, device=device))
        return x_T, None if labels is None else torch.tensor(labels, device=device)

    def solve(self, info: SampleInfo, pairs: list[tuple[int, int]]) -> Tensor:
        """The pictures of the seeds, (N, C, H, W) in about [-1, 1], by these jumps."""
        network, diffusion, found = self.trained.network, self.trained.diffusion, []
        for x_T, labels in self.starts:
            asked = {"labels": labels, "num_classes": self.trained.num_classes, "guidance": info.guidance}
            found.append(sample(sampling_network(network, diffusion, **asked), diffusion, x_T, info, pairs=pairs))
        return torch.cat(found)

    def error(self, times: Sequence[int]) -> float:
        """The root mean square distance of a picture from the fine one, averaged over the pictures.

        Not the mean square: a picture that ends elsewhere altogether would outweigh all others.
        """
        found = self.solve(self.info, list(zip(times, [*times[1:], -1])))
        return (found - self.fine).square().flatten(1).mean(dim=1).sqrt().mean().item()


def tune(trained: Trained, info: SampleInfo, seed_num: int) -> list[int]:
    """The timesteps for `info`, learned on `seed_num` seeds from the best of the named spacings; prints how near they lead."""
    learning = Discretisation(trained, info, range(FIRST_SEED, FIRST_SEED + seed_num))
    named = {name: [t for t, _ in trained.diffusion.timestep_pairs(info.steps, name)] for name in SPACINGS}
    times = learn_times(learning.error, min(named.values(), key=learning.error))
    others = Discretisation(trained, info, range(FIRST_SEED + seed_num, FIRST_SEED + 2 * seed_num))
    errors = {name: others.error(chosen) for name, chosen in (named | {TUNED: times}).items()}
    figures = ", ".join(f"{name} {value:.4f}" for name, value in errors.items())
    print(f"{info}: {', '.join(map(str, times))}", f"  distance from the fine solution, other seeds: {figures}", sep="\n")
    return times


def read_sampler(text: str, trained: Trained) -> SampleInfo:
    """The sampler that `text` names, in which the eta may be left out: DPMPP_6, DPMPP_6_cfg1p5. RequestError unless it is
    deterministic and has timesteps to choose."""
    check_reversible(trained, None, "learning timesteps")
    text = re.sub(r"^([A-Za-z]+_[0-9]+)(?=$|_cfg)", r"\1_0p0", text)
    info = parse_sampler(text, trained.diffusion.timestep_num, trained.num_classes)
    if info.adds_noise:
        raise RequestError(f"{info} adds noise, and has no one solution to come near to; such as DPMPP_{info.steps}_0p0 has")
    if info.spacing != "uniform" or info.resamplings != 1:
        plain = replace(info, spacing="uniform", resamplings=1)
        raise RequestError(f"{info} names timesteps, or takes them several times; say {plain}")
    if info.steps == 1:
        raise RequestError(f"{info} has no timesteps to choose: its one step begins at pure noise")
    return info


def main(model: str, samplers: list[str], out: str | None, seeds: int, device: str) -> int:
    """Learns and writes; returns the exit status."""
    path, target = Path(model), Path(out or model)
    if path.suffix in STATE_SUFFIXES:
        raise RequestError(f"{path}: a training's state changes with the next step; name its model.safetensors")
    if not 1 <= seeds <= 10_000:
        raise RequestError(f"--seeds {seeds}: it must be from 1 to 10000")
    check_writable(target.absolute().parent, "--out")
    trained = load_trained(load_checkpoint(path), path, pick_device(device))
    infos = [read_sampler(text, trained) for text in samplers]
    times = {info.tuned_for: tune(trained, info, seeds) for info in infos}
    add_tuned_times(path, times, target)
    print(f"Wrote:   {target.absolute()}; draw with {', '.join(str(replace(info, spacing=TUNED)) for info in infos)}")
    return 0


if __name__ == "__main__":
    run_script(lambda: main(**ARGS))
