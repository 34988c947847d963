"""Schedules that leave nothing of the picture at T - 1: every sampler, at every number of steps, stays with finite numbers."""

import pytest
import torch

from diffusion import GaussianDiffusion, SampleInfo, make_betas, sample
from diffusion.schedules import zero_terminal_snr_betas
from tests.diffusion.test_samplers import scripted, wavy

SAMPLERS = ["DDPM_{}_0p0", "DDIM_{}_0p0", "DDIM_{}_0p5", "DDIM_{}_1p0", "DPMPP_{}_0p0", "DPMPP_{}_0p5", "DPMPP_{}_1p0",
            "HEUN_{}_0p0", "UNIPC_{}_0p0"]  # fmt: skip


def check(schedule, objective, clip, timestep_num, steps):
    """`steps`: the numbers of steps to try. x is complex where a square root was taken of less than 0."""
    betas = zero_terminal_snr_betas(make_betas(schedule, timestep_num))
    diffusion = GaussianDiffusion(betas, objective=objective, clip_denoised=clip)
    x_T = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    for text in SAMPLERS:
        for S in steps:
            found = sample(wavy, diffusion, x_T, SampleInfo.parse(text.format(S)), noise_like=scripted())
            assert not found.is_complex() and found.isfinite().all(), (text.format(S), schedule, objective, clip)


@pytest.mark.parametrize("clip", [True, False, "dynamic"])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "sigmoid"])
def test_every_number_of_steps_gives_real_pictures(schedule, clip):
    """T = 50: with DDIM at eta 1, `1 - alpha_bar_prev - sigma^2` rounds below 0 for 2, 5 and 30 of the 50 numbers."""
    check(schedule, "pred_v", clip, 50, range(1, 51))


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["pred_v", "pred_x0"])
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("schedule", ["cosine", "sigmoid"])
def test_every_number_of_steps_of_a_thousand_begins_with_real_numbers(schedule, clip, objective):
    """Only the first jump starts without a signal: of longer chains it and the next are walked."""
    betas = zero_terminal_snr_betas(make_betas(schedule, 1000))
    diffusion = GaussianDiffusion(betas, objective=objective, clip_denoised=clip)
    x_T = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    for S in range(1, 1001):
        pairs = diffusion.timestep_pairs(S)[:2]
        for text in SAMPLERS:
            found = sample(
                wavy, diffusion, x_T, SampleInfo.parse(text.format(S)), noise_like=scripted(), pairs=pairs
            )
            assert not found.is_complex() and found.isfinite().all(), (text.format(S), schedule, clip)
