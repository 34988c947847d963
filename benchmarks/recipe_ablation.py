"""What each part of the digits' recipe is worth: one change at a time, so many seconds of training each.

    python benchmarks/recipe_ablation.py --clock cpu

Begins from the entry Mnist_Mini of config.yaml with a schedule that ends after --seconds on this machine, and changes one
thing. The contestants take turns, so that what disturbs the machine disturbs all; each trains by its own clock. Then each
draws --pictures digits with DDIM_20_0p0, and the digits' extractor tells how near they come to the held-out ones. One seed
each, unless --seeds says more.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders

from benchmarks.contestants import Contestant, How, ours  # noqa: E402
from benchmarks.side_by_side import CLOCKS, parser, write_result  # noqa: E402
from datasets import ImageDataset  # noqa: E402
from evaluation.extractor import load_extractor  # noqa: E402
from evaluation.measures import measure  # noqa: E402
from utils.config import load_settings  # noqa: E402

PROBE_STEPS = 5  # steps by which the speed of a variant is known

VARIANTS = {
    "the default": [],
    "objective: noise": ["diffusion.objective=pred_noise"],
    "objective: v": ["diffusion.objective=pred_v"],
    "loss: l1": ["diffusion.loss_type=l1"],
    "weighting: min_snr": ["diffusion.weighting=min_snr"],
    "timesteps: uniform": ["train.timestep_logit_normal=null"],
    "timesteps: logit-normal (0, 1)": ["train.timestep_logit_normal=[0.0, 1.0]"],
    "schedule: linear betas": ["diffusion.beta_schedule=linear"],
    "learning rate: 1e-3": ["train.learning_rate=0.001"],
    "learning rate: 1e-2": ["train.learning_rate=0.01"],
    "learning rate: constant": ["train.learning_rate_decay=none"],
    "no folding (patch_size 1)": ["model.patch_size=1"],
    "folding by 4": ["model.patch_size=4", "model.channel_mult=[1]"],
    "wider: 40 channels": ["model.base_channels=40"],
    "narrower: 16 channels": ["model.base_channels=16"],
    "attention at 7": ["model.attention_resolutions=[7]"],
    "two blocks a level": ["model.num_res_blocks=2"],
    "batches of 32": ["train.batch_size=32"],
    "self-conditioning": ["diffusion.self_condition=true"],
    "EMA: 0.98": ["train.ema_decay=0.98"],
}


def contestant_of(overrides: list[str], images, args) -> tuple[Contestant, int]:
    """A variant whose learning rate ends after --seconds, and its number of steps: by the speed of a first few."""
    base = ["sample.sample_info=DDIM_20_0p0", *overrides]
    probe_settings = load_settings("config.yaml", "Mnist_Mini", base)
    batch = probe_settings.train.batch_size
    probe = ours(probe_settings, images, How(args.device, batch))
    probe.step()
    start = CLOCKS[args.clock]()
    for _ in range(PROBE_STEPS):
        probe.step()
    steps = max(1, round(args.seconds * PROBE_STEPS / (CLOCKS[args.clock]() - start)))
    epochs = steps * batch / len(images)
    settings = load_settings(
        "config.yaml", "Mnist_Mini", [*base, f"train.train_epoch={epochs}", f"run.seed={args.seed}"]
    )
    return ours(settings, images, How(args.device, batch)), steps


def train(contestants: dict[str, tuple[Contestant, int]], turns: int, clock: str) -> dict[str, float]:
    """All of them, in `turns` turns each. Returns the seconds that each took."""
    seconds = dict.fromkeys(contestants, 0.0)
    for turn in range(turns):
        for name, (contestant, steps) in contestants.items():
            start = CLOCKS[clock]()
            for _ in range(steps * turn // turns, steps * (turn + 1) // turns):
                contestant.step()
            seconds[name] += CLOCKS[clock]() - start
        print(f"turn {turn + 1} of {turns}", flush=True)
    return seconds


def main() -> None:
    options = parser(__doc__, "recipe_ablation")
    options.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    options.add_argument("--seconds", type=float, default=90.0)
    options.add_argument("--turns", type=int, default=6)
    options.add_argument("--pictures", type=int, default=512)
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    data = ImageDataset(**load_settings("config.yaml", "Mnist_Mini").data.model_dump())
    images, held_out = data.load().images, data.load("test").images
    extractor = load_extractor("digits")
    contestants = {name: contestant_of(VARIANTS[name], images, args) for name in args.variants}
    seconds = train(contestants, args.turns, args.clock)
    rows = []
    for name, (contestant, steps) in contestants.items():
        with torch.no_grad():
            figures = measure(contestant.draw(args.pictures, 20), held_out, extractor)
        row = {"variant": name, "settings": " ".join(VARIANTS[name]), "training_steps": steps, "seconds": seconds[name]}
        rows.append(row | {key: figures[key] for key in ("fid", "kid", "confident", "recall")})
        print(rows[-1], flush=True)
    write_result(args, rows, seconds=args.seconds, pictures=args.pictures, seed=args.seed, sampler="DDIM_20_0p0")


if __name__ == "__main__":
    main()
