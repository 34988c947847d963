"""What the experiments train: one table of variants, each a change or two to what all have in common.

Common to all: v is predicted, the loss is L2, the schedule cosine, timesteps are drawn uniformly and the learning rate stays.
(The seed page predicts the noise: within minutes on a CPU that gives no digits to compare. It is one of the variants.)
Everything else, the network above all, is the data set's own entry of config.yaml.
"""

from typing import NamedTuple

BASE = "l2_cosine"

COMMON = [
    "diffusion.objective=pred_v",
    "diffusion.loss_type=l2",
    "diffusion.beta_schedule=cosine",
    "train.timestep_logit_normal=null",
    "train.learning_rate_decay=none",
    # The recipe of the entries before version 0.4, which the page was made by: without classes, by Adam.
    "model.num_classes=0",
    "diffusion.loss_of_clipped=false",
    "train.optimizer=adam",
    "train.timestep_uniform_share=0.0",
    "sample.sample_num=16",
    "sample.sample_info=DPMPP_20_0p0",
]

# Group -> variant -> what it changes. Averaged weights (EMA) and clipping are options of drawing: a variant with P2 has all
# three, and each of them can be taken away.
GROUPS: dict[str, dict[str, list[str]]] = {
    "losses": {
        BASE: [],
        "l1_cosine": ["diffusion.loss_type=l1"],
        "l2_linear": ["diffusion.beta_schedule=linear"],
        "l1_linear": ["diffusion.loss_type=l1", "diffusion.beta_schedule=linear"],
    },
    # The standard deviation between trainings: what a difference between variants has to exceed.
    "seeds": {f"{BASE}_seed1": ["run.seed=1"]},
    "all_on": {"p2": ["diffusion.weighting=p2"]},
    "parts": {
        "min_snr": ["diffusion.weighting=min_snr"],
        "pred_noise": ["diffusion.objective=pred_noise"],
        "pred_x0": ["diffusion.objective=pred_x0"],
        "self_condition": ["diffusion.self_condition=true"],
        "learned_variance": ["diffusion.variance=learned"],
        "logit_normal": ["train.timestep_logit_normal=[0.7, 1.0]"],
    },
}

# Experiment -> the groups that it trains. The others draw from what is there.
EXPERIMENTS: dict[str, tuple[str, ...]] = {
    "losses": ("losses",),
    "seeds": ("seeds",),
    "samplers": (),
    "each_off": ("all_on",),
    "parts": ("parts",),
    "interpolate": (),
}

# What a data set changes for all its variants, the experiments it takes part in, and the checkpoint whose samplers are
# compared (None: that of the base variant). One that is not named here takes part in all, as config.yaml has it: for a GPU.
SMALL = ("train.batch_size=16", "train.warmup_steps=100", "train.ema_decay=0.995")


class DataSet(NamedTuple):
    settings: tuple[str, ...] = ()
    experiments: tuple[str, ...] = tuple(EXPERIMENTS)
    checkpoint: str | None = None


DATA: dict[str, DataSet] = {
    "Mnist_Mini": DataSet((*SMALL, "train.learning_rate=3e-3"), checkpoint="checkpoints/mnist_mini.safetensors"),
    "Emoji": DataSet((*SMALL, "train.learning_rate=1e-3", "model.base_channels=32"), experiments=("losses",)),
}


class Comparison(NamedTuple):
    """What one `--test_mode compare` is given: samplers, `sets` sets of so many pictures, further options; and its variants, if
    it is not the checkpoint of the samplers' experiment (none by name: all that the experiment trained)."""

    samplers: tuple[str, ...]
    sets: int = 3
    pictures: float = 1.0
    variants: tuple[str, ...] | None = None
    file: str = "model.safetensors"
    options: tuple[str, ...] = ()


def at_steps(method: str, eta: str, steps: tuple[int, ...]) -> tuple[str, ...]:
    """One kind of sampler at several numbers of steps."""
    return tuple(f"{method}_{count}_{eta}" for count in steps)


def chains(*steps: int) -> tuple[str, ...]:
    """The seed page's three samplers."""
    return (*at_steps("DDPM", "0p0", steps), *at_steps("DDIM", "1p0", steps), *at_steps("DDIM", "0p0", steps))


FEW = (5, 8, 10, 15, 20)
DRAWN_BY = ("DPMPP_20_0p0",)
FAST = (*at_steps("DPMPP", "0p0", FEW), *at_steps("HEUN", "0p0", FEW), *at_steps("UNIPC", "0p0", FEW))

# Experiment -> the comparisons it consists of. `pictures` times the run's PICTURES: long chains cost too much for all of
# them on a CPU, and the tables say how many each had.
COMPARISONS: dict[str, dict[str, Comparison]] = {
    "losses": {"losses": Comparison(DRAWN_BY, pictures=2, variants=())},
    "seeds": {"seeds": Comparison(DRAWN_BY, pictures=2, variants=())},
    "samplers": {
        "few_steps": Comparison((*FAST, *chains(50)), sets=2),
        "middle_steps": Comparison(chains(100, 200), sets=1, pictures=0.25),
        "many_steps": Comparison((*chains(1000), *chains(800), *chains(500)), sets=1, pictures=0.25),
    },
    "each_off": {
        "all_on": Comparison(DRAWN_BY, pictures=2, variants=()),
        "ema_off": Comparison(
            DRAWN_BY, pictures=2, variants=("p2",), file="trainer_state.pt", options=("--weights", "raw")
        ),
        "clip_off": Comparison(DRAWN_BY, pictures=2, variants=("p2",), options=("--clip_denoised", "false")),
    },
    "parts": {
        "parts": Comparison(DRAWN_BY, pictures=2, variants=()),
        "variance": Comparison(("DDPM_50_0p0",), sets=2, variants=("learned_variance", BASE)),
    },
}

# Whose bound on the bits a dimension is taken, beside the base's, once "parts" is trained; and of how many held-out pictures.
BOUNDS, BOUND_PICTURES = ("min_snr", "pred_noise", "pred_x0", "learned_variance", "logit_normal"), 256

# The interpolations: --interpolate_mode, --interpolate_steps.
INTERPOLATIONS = (("slerp", 250), ("slerp", 500), ("slerp", 750), ("lerp", 500), ("ddim", 1000))


def of_data(data_name: str) -> DataSet:
    """What is asked of a data set."""
    return DATA.get(data_name, DataSet())


def variants(data_name: str, experiment: str) -> dict[str, list[str]]:
    """Each variant that an experiment trains on a data set, with all the settings it is given, as KEY=VALUE."""
    chosen = {name: changes for group in EXPERIMENTS[experiment] for name, changes in GROUPS[group].items()}
    return {name: [*COMMON, *of_data(data_name).settings, *changes] for name, changes in chosen.items()}
