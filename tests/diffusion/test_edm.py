"""EDM (Karras et al. 2022) in float64 against its formulas, written out here from the paper."""

import math

import pytest
import torch

from diffusion import GaussianDiffusion, build_diffusion, draw_timesteps_by_sigma, make_betas
from tests.diffusion.test_samplers import normal

T = 1000
BETAS = make_betas("cosine", T)


def sigma_of(diffusion, t):
    """EDM's noise level at t: sigma / signal."""
    alpha_bar = diffusion.alpha_bar(t)
    return ((1 - alpha_bar) / alpha_bar) ** 0.5


def test_the_loss_is_edm_s():
    """Eq. 2 and 8 with Table 1: lambda(sigma) || D(y + n; sigma) - y ||^2, D = c_skip x + c_out F(c_in x; sigma)."""
    sigma_data = 0.4
    diffusion = GaussianDiffusion(BETAS, objective="pred_edm", weighting="edm", sigma_data=sigma_data, loss_type="l2")
    y, noise, t = normal(5, 1, 3, 3), normal(5, 1, 3, 3, seed=1), torch.tensor([0, 100, 500, 900, 990])

    def F(x, sigma):
        return torch.tanh(x + sigma.log())

    def network(x_t, t):  # c_in x, where x is x_t / signal
        sigma = sigma_of(diffusion, t)
        return F(x_t * (1 + sigma**2).sqrt() / (sigma**2 + sigma_data**2).sqrt(), sigma)

    sigma = sigma_of(diffusion, t)
    x = y + sigma * noise
    c_skip = sigma_data**2 / (sigma**2 + sigma_data**2)
    c_out = sigma * sigma_data / (sigma**2 + sigma_data**2).sqrt()
    c_in = 1 / (sigma**2 + sigma_data**2).sqrt()
    weight = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
    expected = (weight * (c_skip * x + c_out * F(c_in * x, sigma) - y).square()).flatten(1).mean(dim=1)
    torch.testing.assert_close(diffusion.training_losses(network, y, t, noise), expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("objective", ["pred_x0", "pred_v", "pred_flow", "pred_edm"])
def test_its_weighting_is_finite_where_nothing_is_left_of_the_picture(objective):
    diffusion = build_diffusion(
        timestep_num=T, beta_schedule="flow", zero_terminal_snr=True, objective=objective, weighting="edm", sigma_data=0.5,
        loss_type="l2",
    )  # fmt: skip
    x_0, noise = normal(1, 1, 3, 3), normal(1, 1, 3, 3, seed=1)
    found = diffusion.training_losses(
        lambda x_t, t: diffusion.output_for(0 * x_0, x_t, t), x_0, torch.tensor([T - 1]), noise
    )
    torch.testing.assert_close(found, x_0.square().mean().view(1) / 0.5**2, rtol=1e-9, atol=0)  # lambda(inf) = 1 / sigma_data^2


def karras(count, least, most, rho=7.0):
    """Eq. 5."""
    ramp = torch.linspace(0, 1, count, dtype=torch.float64)
    return (most ** (1 / rho) + ramp * (least ** (1 / rho) - most ** (1 / rho))) ** rho


@pytest.mark.parametrize("schedule, S", [("cosine", 18), ("flow", 18), ("linear", 10), ("flow", 2)])
def test_the_spacing_is_karras_s_to_the_nearest_timestep(schedule, S):
    fine = 100_000
    diffusion = build_diffusion(timestep_num=fine, beta_schedule=schedule)
    levels = [sigma_of(diffusion, t) for t, _ in diffusion.timestep_pairs(S, "karras")]
    wanted = karras(S, max(0.002, sigma_of(diffusion, 0)), min(80.0, sigma_of(diffusion, fine - 1)))
    assert levels[0] == sigma_of(diffusion, fine - 1)  # pure noise, whatever the level is called
    torch.testing.assert_close(torch.tensor(levels[1:], dtype=torch.float64), wanted[1:], rtol=0.02, atol=0)


def test_timesteps_are_drawn_by_edm_s_log_normal():
    """ln sigma ~ N(P_mean, P_std^2), P_mean = -1.2, P_std = 1.2: its moments, and a share that is uniform over t."""
    diffusion = build_diffusion(timestep_num=4000, beta_schedule="flow")
    lambdas = diffusion.half_log_snr()

    def drawn(share, count=100_000):
        return draw_timesteps_by_sigma(lambdas, count, (-1.2, 1.2), torch.Generator().manual_seed(0), share)

    t = drawn(0.0)
    assert t.dtype == torch.int64 and t.shape == (100_000,) and 0 <= t.min() and t.max() < 4000
    log_sigma = -lambdas[t]
    assert log_sigma.mean().item() == pytest.approx(-1.2, abs=0.02)  # five standard errors
    assert log_sigma.std().item() == pytest.approx(1.2, abs=0.02)
    for quantile in (0.1, 0.5, 0.9):
        expected = -1.2 + 1.2 * math.sqrt(2) * torch.erfinv(torch.tensor(2 * quantile - 1)).item()
        assert log_sigma.quantile(quantile).item() == pytest.approx(expected, abs=0.03)
    assert drawn(1.0).double().mean().item() == pytest.approx(1999.5, abs=20)


def test_levels_beyond_the_schedule_go_to_its_ends():
    lambdas = build_diffusion(timestep_num=10, beta_schedule="cosine").half_log_snr()
    for mean, end in ((-50.0, 0), (50.0, 9)):
        assert (draw_timesteps_by_sigma(lambdas, 8, (mean, 0.1), torch.Generator().manual_seed(0)) == end).all()
