"""The diffusion block of the YAML as a `GaussianDiffusion`."""

import torch

from diffusion.gaussian import GaussianDiffusion
from diffusion.schedules import schedule_betas, shifted_betas, zero_terminal_snr_betas


def build_diffusion(
    *,
    timestep_num: int,
    beta_schedule: str,
    betas: list[float] | None = None,
    shift: float = 1.0,
    zero_terminal_snr: bool = False,
    **options,
) -> GaussianDiffusion:
    """The given `betas`, or those of the schedule, see `schedule_betas`, and `GaussianDiffusion` with the rest of the block as
    its `options`."""
    if betas is None:
        return GaussianDiffusion(schedule_betas(beta_schedule, timestep_num, shift, zero_terminal_snr), **options)
    table = shifted_betas(torch.tensor(betas, dtype=torch.float64), shift)
    return GaussianDiffusion(zero_terminal_snr_betas(table) if zero_terminal_snr else table, **options)
