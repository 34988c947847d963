"""What the experiments train: one table of variants, each a handful of settings on top of what all have in common.

The common settings are those of the seed page: the noise is predicted, the loss is L1, the schedule cosine, timesteps are drawn
uniformly, the learning rate stays. Everything else (the network, above all) is the data set's own entry of config.yaml.
"""

BASE = "l1_cosine"

COMMON = [
    "diffusion.objective=pred_noise",
    "diffusion.loss_type=l1",
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
        "l1_linear": ["diffusion.beta_schedule=linear"],
        "l2_cosine": ["diffusion.loss_type=l2"],
        "l2_linear": ["diffusion.loss_type=l2", "diffusion.beta_schedule=linear"],
    },
    # The spread between trainings: what a difference between variants has to exceed.
    "seeds": {
        f"{BASE}_seed1": ["run.seed=1"],
        f"{BASE}_seed2": ["run.seed=2"],
    },
    "parts": {
        "p2": ["diffusion.weighting=p2"],
        "min_snr": ["diffusion.weighting=min_snr"],
        "pred_x0": ["diffusion.objective=pred_x0"],
        "pred_v": ["diffusion.objective=pred_v"],
        "self_condition": ["diffusion.self_condition=true"],
        "learned_variance": ["diffusion.variance=learned"],
    },
}

# What a data set changes for all its variants, and the groups it takes part in. One that is not named here takes part in all
# of them as config.yaml has it: for a GPU.
SMALL = ["train.batch_size=16", "train.warmup_steps=100", "train.ema_decay=0.995"]
DATA: dict[str, dict[str, list[str]]] = {
    "Mnist_Mini": {"settings": [*SMALL, "train.learning_rate=2e-3"], "groups": ["losses", "seeds", "parts"]},
    "Emoji": {"settings": [*SMALL, "train.learning_rate=1e-3", "model.base_channels=32"], "groups": ["losses"]},
}


def variants(data_name: str) -> dict[str, list[str]]:
    """Each variant of a data set, and all the settings that its training is given, as KEY=VALUE."""
    entry = DATA.get(data_name, {"settings": [], "groups": list(GROUPS)})
    chosen = {name: changes for group in entry["groups"] for name, changes in GROUPS[group].items()}
    return {name: [*COMMON, *entry["settings"], *changes] for name, changes in chosen.items()}
