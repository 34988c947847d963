"""The configuration of diffusers' schedulers, and the settings of the same diffusion here, both ways.

That of flow matching is in `interop.diffusers_flow`.
"""

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from diffusion import make_betas
from diffusion.build import diffusion_betas
from diffusion.schedules import MAX_BETA, SCHEDULES
from interop.diffusers_flow import FLOW_SCHEDULER
from utils.errors import RequestError
from utils.settings import DiffusionSettings

PREDICTION_TYPES = {"pred_noise": "epsilon", "pred_x0": "sample", "pred_v": "v_prediction"}
VARIANCE_TYPES = {"fixed_small": "fixed_small", "fixed_large": "fixed_large", "learned": "learned_range"}
THRESHOLD_QUANTILE = 0.995
NO_LIMIT = 1e9  # theirs must limit the threshold; no x_0 is as large
FLOAT32 = 1e-7  # they compute their betas in it
# Schedulers of the process of DDPM, with the betas in their configuration; the others are of other processes.
CLIPPING = ("DDPMScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDIMParallelScheduler")
SCHEDULERS = (
    *CLIPPING,
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
)


class SchedulerConfig(BaseModel):
    """What a scheduler's configuration says of the training; how it draws is ours to choose, and not looked at."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)

    num_train_timesteps: Annotated[int, Field(ge=1, le=100_000)] = 1000
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.02
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"] = "linear"
    trained_betas: Annotated[list[float], Field(max_length=100_000)] | None = None
    rescale_betas_zero_snr: bool = False
    prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    predict_epsilon: bool | None = None  # what versions before 0.10 had for it
    variance_type: str | None = None
    clip_sample: bool | None = None
    clip_sample_range: float = 1.0
    thresholding: bool = False
    dynamic_thresholding_ratio: float = THRESHOLD_QUANTILE
    sample_max_value: float = 1.0


def scheduler_config(diffusion: DiffusionSettings, source: str) -> dict[str, object]:
    """What DDPMScheduler is configured with to be that diffusion.

    RequestError, naming the setting of the file `source`, if none of its configurations is.
    """
    if diffusion.network_input != "x_t":
        raise RequestError(
            f"{source}: diffusion.network_input {diffusion.network_input} cannot be expressed in diffusers with "
            f"diffusion.objective {diffusion.objective}: DDPMScheduler's network is shown x_t; with pred_flow it can"
        )
    # With a sigma_data of 1, EDM's output is -v: the network's last layer is negated.
    objective = "pred_v" if diffusion.objective == "pred_edm" and diffusion.sigma_data == 1 else diffusion.objective
    if objective not in PREDICTION_TYPES:
        raise RequestError(
            f"{source}: diffusion.objective {diffusion.objective} cannot be expressed in diffusers with sigma_data "
            f"{diffusion.sigma_data}: between its output and v lies a scale that depends on t; with sigma_data 1 it can, and "
            f"so can {', '.join(PREDICTION_TYPES)}"
        )
    return {
        "num_train_timesteps": diffusion.timestep_num,
        **_named_schedule(diffusion),
        "rescale_betas_zero_snr": diffusion.zero_terminal_snr,
        "prediction_type": PREDICTION_TYPES[objective],
        "variance_type": VARIANCE_TYPES[diffusion.variance],
        "clip_sample": diffusion.clip_denoised is True,
        "clip_sample_range": 1.0,
        "thresholding": diffusion.clip_denoised == "dynamic",
        "dynamic_thresholding_ratio": THRESHOLD_QUANTILE,
        "sample_max_value": NO_LIMIT,
        # Ours, but that DDPMScheduler adds noise in a last step that does not begin at t = 0, unless its variance is none.
        "timestep_spacing": "trailing" if diffusion.variance == "fixed_small" else "leading",
        "steps_offset": 0,
    }


def _named_schedule(diffusion: DiffusionSettings) -> dict[str, object]:
    """The betas by their schedule's name, where diffusers has the same one, or else one by one."""
    start, end = 0.1 / diffusion.timestep_num, 20 / diffusion.timestep_num
    named = diffusion.shift == 1
    if named and diffusion.beta_schedule == "linear" and end <= MAX_BETA:
        return {"beta_schedule": "linear", "beta_start": start, "beta_end": end}
    if named and diffusion.beta_schedule == "cosine":
        return {"beta_schedule": "squaredcos_cap_v2"}
    keys = {"timestep_num", "beta_schedule", "betas", "shift", "zero_terminal_snr"}
    block = {"betas": None, "shift": 1.0} | diffusion.model_dump(include=keys)  # both are left out where they are off
    return {"trained_betas": diffusion_betas(**block).tolist()}


def diffusion_block(config: SchedulerConfig, class_name: object, learned: bool, source: str) -> dict[str, object]:
    """The diffusion block of what a scheduler of that `class_name` draws from.

    `learned`: whether the network has twice the channels out. RequestError, naming what of the file `source` is in the way.
    """

    def refuse(key: str, why: str) -> RequestError:
        return RequestError(f"{source}: {key} {getattr(config, key)} cannot be expressed here: {why}")

    if class_name not in SCHEDULERS:
        raise RequestError(f"{source}: {class_name} cannot be expressed here; {', '.join((*SCHEDULERS, FLOW_SCHEDULER))} can")
    if config.trained_betas is not None and len(config.trained_betas) != config.num_train_timesteps:
        raise refuse("num_train_timesteps", f"trained_betas has {len(config.trained_betas)}")
    prediction = "sample" if config.predict_epsilon is False else config.prediction_type
    return {
        "timestep_num": config.num_train_timesteps,
        **_schedule(config),
        "zero_terminal_snr": config.rescale_betas_zero_snr,
        "objective": {theirs: ours for ours, theirs in PREDICTION_TYPES.items()}[prediction],
        "loss_type": "l2",
        "clip_denoised": _clipping(config, class_name in CLIPPING, refuse),
        "variance": _variance(config, learned, refuse),
    }


def _schedule(config: SchedulerConfig) -> dict[str, object]:
    """`beta_schedule`, where one of ours has these betas, or else the betas themselves."""
    betas = _betas(config)
    for name in SCHEDULES:
        if (make_betas(name, len(betas)) - betas).abs().max() < FLOAT32:
            return {"beta_schedule": name}
    return {"beta_schedule": "given", "betas": betas.tolist()}


def _betas(config: SchedulerConfig) -> Tensor:
    """(T,) float64, as their schedulers compute them."""
    steps, start, end = config.num_train_timesteps, config.beta_start, config.beta_end
    if config.trained_betas is not None:
        return torch.tensor(config.trained_betas, dtype=torch.float64)
    if config.beta_schedule == "linear":
        return torch.linspace(start, end, steps, dtype=torch.float64)
    if config.beta_schedule == "scaled_linear":
        return torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    if config.beta_schedule == "sigmoid":
        return torch.sigmoid(torch.linspace(-6, 6, steps, dtype=torch.float64)) * (end - start) + start
    return make_betas("cosine", steps)


def _clipping(config: SchedulerConfig, clips: bool, refuse) -> bool | str:
    """`clip_denoised`. A scheduler that has no clip_sample does not clip (`clips`: it does, unless it is told not to)."""
    if config.thresholding and config.sample_max_value > 1:
        if config.dynamic_thresholding_ratio != THRESHOLD_QUANTILE:
            raise refuse("dynamic_thresholding_ratio", f"it is {THRESHOLD_QUANTILE}")
        if config.sample_max_value < NO_LIMIT:
            raise refuse("sample_max_value", f"it is 1, which is clipping, or has no effect, as {NO_LIMIT:g}")
        return "dynamic"
    clips = config.thresholding or (clips if config.clip_sample is None else config.clip_sample)
    if clips and not config.thresholding and config.clip_sample_range != 1:
        raise refuse("clip_sample_range", "it is 1, where clip_sample is true")
    return clips


def _variance(config: SchedulerConfig, learned: bool, refuse) -> str:
    """`variance`. What leaves out the channels that name it draws with another one; so does what has no variance_type."""
    known = {theirs: ours for ours, theirs in VARIANCE_TYPES.items()} | {"fixed_small_log": "fixed_small"}
    variance = "learned" if learned and config.variance_type is None else known.get(config.variance_type or "fixed_small")
    if variance is None:
        raise refuse("variance_type", f"{', '.join(known)} can")
    if learned != (variance == "learned"):
        raise refuse("variance_type", "learned_range is of a network with twice the channels out, and of no other")
    return variance
