"""The diffusion block of the YAML as a `GaussianDiffusion`."""

import torch
from torch import Tensor

from diffusion.gaussian import GaussianDiffusion
from diffusion.schedules import schedule_betas, shifted_betas, zero_terminal_snr_betas


def diffusion_betas(
    timestep_num: int, beta_schedule: str, betas: list[float] | None, shift: float, zero_terminal_snr: bool
) -> Tensor:
    """The given `betas`, or those of the schedule, shifted and changed as is asked for, (T,) float64; see `schedule_betas`."""
    if betas is None:
        return schedule_betas(beta_schedule, timestep_num, shift, zero_terminal_snr)
    table = shifted_betas(torch.tensor(betas, dtype=torch.float64), shift)
    return zero_terminal_snr_betas(table) if zero_terminal_snr else table


def build_diffusion(
    *,
    timestep_num: int,
    beta_schedule: str,
    betas: list[float] | None = None,
    shift: float = 1.0,
    zero_terminal_snr: bool = False,
    **options,
) -> GaussianDiffusion:
    """The betas, and `GaussianDiffusion` with the rest of the block as its `options`."""
    table = diffusion_betas(timestep_num, beta_schedule, betas, shift, zero_terminal_snr)
    return GaussianDiffusion(table, **options)
