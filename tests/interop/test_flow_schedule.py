"""Schedules that diffusers has no name for go there, and come back, as their betas."""

import pytest
import torch
from diffusers import DDPMScheduler

from diffusion import build_diffusion
from interop.diffusers_scheduler import SchedulerConfig, diffusion_block, scheduler_config
from utils.settings import DiffusionSettings


@pytest.mark.parametrize("schedule, shift, zero", [("flow", 1.0, False), ("flow", 3.0, True), ("linear", 2.0, False), ("cosine", 0.5, True)])
def test_a_shifted_schedule_is_the_same_there_and_back(schedule, shift, zero):
    settings = DiffusionSettings(beta_schedule=schedule, shift=shift, zero_terminal_snr=zero, objective="pred_v", timestep_num=100)
    config = scheduler_config(settings, "x")
    ours = build_diffusion(**settings.model_dump())
    expected = torch.tensor([ours.alpha_bar(t) for t in range(100)], dtype=torch.float64)
    theirs = DDPMScheduler(**config).alphas_cumprod.double()
    kept = slice(0, 99 if zero else 100)  # theirs is 2^-24 where nothing is left
    torch.testing.assert_close(theirs[kept], expected[kept], rtol=2e-3, atol=1e-6)
    block = diffusion_block(SchedulerConfig(**config), "DDPMScheduler", False, "x")
    back = build_diffusion(**DiffusionSettings(**block).model_dump())
    torch.testing.assert_close(torch.tensor([back.alpha_bar(t) for t in range(100)]), expected.float(), rtol=2e-3, atol=1e-6)
