"""What the experiments train: one table of variants, each a change or two to what all have in common.

Common to all: v is predicted, the loss is L2, the schedule cosine, timesteps are drawn uniformly and the learning rate stays.
(The seed page predicts the noise: within minutes on a CPU that gives no digits to compare. It is one of the variants.)
Everything else, the network above all, is the data set's own entry of config.yaml.
"""

BASE = "l2_cosine"

COMMON = [
    "diffusion.objective=pred_v",
    "diffusion.loss_type=l2",
    "diffusion.beta_schedule=cosine",
    "train.timestep_logit_normal=null",
    "train.learning_rate_decay=none",
    "sample.sample_num=16",
    "sample.sample_info=DPMPP_20_0p0",
]

# Group -> variant -> what it changes. The first group is the seed page's first table, `parts` its last and more.
GROUPS: dict[str, dict[str, list[str]]] = {
    "losses": {
        BASE: [],
        "l1_cosine": ["diffusion.loss_type=l1"],
        "l2_linear": ["diffusion.beta_schedule=linear"],
        "l1_linear": ["diffusion.loss_type=l1", "diffusion.beta_schedule=linear"],
    },
    # The spread between trainings: what a difference between variants has to exceed.
    "seeds": {
        f"{BASE}_seed1": ["run.seed=1"],
        f"{BASE}_seed2": ["run.seed=2"],
    },
    "parts": {
        "p2": ["diffusion.weighting=p2"],
        "min_snr": ["diffusion.weighting=min_snr"],
        "pred_noise": ["diffusion.objective=pred_noise"],
        "pred_x0": ["diffusion.objective=pred_x0"],
        "self_condition": ["diffusion.self_condition=true"],
        "learned_variance": ["diffusion.variance=learned"],
        "logit_normal": ["train.timestep_logit_normal=[0.7, 1.0]"],
    },
}

# What a data set changes for all its variants, and the groups it takes part in. One that is not named here takes part in all
# of them as config.yaml has it: for a GPU.
SMALL = ["train.batch_size=16", "train.warmup_steps=100", "train.ema_decay=0.995"]
DATA: dict[str, dict[str, list[str]]] = {
    "Mnist_Mini": {"settings": [*SMALL, "train.learning_rate=3e-3"], "groups": ["losses", "seeds", "parts"]},
    "Emoji": {"settings": [*SMALL, "train.learning_rate=1e-3", "model.base_channels=24"], "groups": ["losses"]},
}


def variants(data_name: str) -> dict[str, list[str]]:
    """Each variant of a data set, and all the settings that its training is given, as KEY=VALUE."""
    entry = DATA.get(data_name, {"settings": [], "groups": list(GROUPS)})
    chosen = {name: changes for group in entry["groups"] for name, changes in GROUPS[group].items()}
    return {name: [*COMMON, *entry["settings"], *changes] for name, changes in chosen.items()}
