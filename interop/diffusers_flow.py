"""The configuration of diffusers' FlowMatchEulerDiscreteScheduler, and the settings of the same flow here, both ways."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from utils.errors import RequestError
from utils.settings import DiffusionSettings

FLOW_SCHEDULER = "FlowMatchEulerDiscreteScheduler"
# What a network of theirs is trained as; the last time is u = 1.
FLOW = {"beta_schedule": "flow", "objective": "pred_flow", "network_input": "x_u"}


class FlowConfig(BaseModel):
    """The scheduler's configuration, as far as it is a flow of ours; its defaults where a file is silent."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    num_train_timesteps: Annotated[int, Field(ge=2, le=100_000)] = 1000
    shift: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    use_dynamic_shifting: Literal[False] = False
    invert_sigmas: Literal[False] = False
    shift_terminal: None = None
    use_karras_sigmas: Literal[False, None] = False
    use_exponential_sigmas: Literal[False, None] = False
    use_beta_sigmas: Literal[False, None] = False
    stochastic_sampling: Literal[False] = False
    # Of use_dynamic_shifting alone.
    base_shift: float | None = None
    max_shift: float | None = None
    base_image_seq_len: int | None = None
    max_image_seq_len: int | None = None
    time_shift_type: str | None = None


def flow_config(diffusion: DiffusionSettings, source: str) -> dict[str, object]:
    """What FlowMatchEulerDiscreteScheduler is configured with to be that flow, of objective pred_flow.

    RequestError, naming the setting of the file `source`, if none of its configurations is.
    """
    for setting, wanted in FLOW.items():
        if (value := getattr(diffusion, setting)) != wanted:
            raise RequestError(
                f"{source}: diffusion.{setting} {value} cannot be expressed in diffusers with diffusion.objective pred_flow: "
                f"{FLOW_SCHEDULER} shows a network x_u on the flow schedule; one that was trained with "
                f"diffusion.{setting}={wanted} can"
            )
    if diffusion.variance == "learned":
        raise RequestError(
            f"{source}: diffusion.variance learned cannot be expressed in diffusers with diffusion.objective pred_flow: "
            f"{FLOW_SCHEDULER} has none; --fixed_variance leaves it out"
        )
    return {"num_train_timesteps": diffusion.timestep_num, "shift": diffusion.shift}


def flow_block(config: FlowConfig, learned: bool, source: str) -> dict[str, object]:
    """The diffusion block of what that scheduler draws from.

    `learned`: whether the network has twice the channels out. RequestError, naming what of the file `source` is in the way.
    """
    if learned:
        raise RequestError(f"{source}: {FLOW_SCHEDULER} has no variance, and the network twice the channels out")
    return {
        "timestep_num": config.num_train_timesteps,
        "shift": config.shift,
        "zero_terminal_snr": True,
        **FLOW,
        "loss_type": "l2",
        "clip_denoised": False,
    }
