"""EDM (Karras et al. 2022) in float64 against its formulas, written out here from the paper."""

import math

import pytest
import torch

from diffusion import GaussianDiffusion, SampleInfo, build_diffusion, draw_timesteps_by_sigma, make_betas, sample
from tests.diffusion.test_samplers import normal, scripted, wavy
from tests.oracles import GaussianOracle

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
    assert t.dtype == torch.int64 and t.shape == (100_000,) and t.min() >= 0 and t.max() < 4000
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


def published_sampler(D, x, sigmas, round_sigma, S_churn, randn):
    """Algorithm 2, written from the paper, with S_tmin = 0, S_tmax infinite and S_noise = 1. `sigmas`: N of them, and 0."""
    N = len(sigmas) - 1
    for i in range(N):
        gamma = min(S_churn / N, math.sqrt(2) - 1)
        sigma, following = sigmas[i], sigmas[i + 1]
        raised = round_sigma(sigma + gamma * sigma)
        if raised > sigma:
            x = x + math.sqrt(raised**2 - sigma**2) * randn(x)
        d = (x - D(x, raised)) / raised
        euler = x + (following - raised) * d
        if following > 0:
            d_ahead = (euler - D(euler, following)) / following
            x = x + (following - raised) * (d + d_ahead) / 2
        else:
            x = euler
    return x


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("spacing", ["karras", "uniform"])
@pytest.mark.parametrize("S", [1, 2, 5, 18])
def test_the_sampler_is_the_published_one(S, spacing, eta):
    """A network that sees x_t and t; D reads it as EDM's denoiser of x = x_t / signal at sigma."""
    diffusion = GaussianDiffusion(make_betas("linear", T, beta_end=0.0165), objective="pred_edm", clip_denoised=False)
    table = [sigma_of(diffusion, t) for t in range(T)]  # to 65
    info = SampleInfo("EDM", S, eta, spacing)
    sigmas = [table[t] for t, _ in diffusion.timestep_pairs(S, spacing)] + [0.0]

    def D(x, sigma):
        t, x_t = table.index(sigma), x / math.sqrt(1 + sigma**2)
        return diffusion.predict(wavy(x_t, torch.full((2,), t)), x_t, t).x_0

    def round_sigma(sigma):
        return min(table, key=lambda level: abs(level - sigma))

    x_T, S_churn = normal(2, 1, 3, 3), S * eta * (math.sqrt(2) - 1)
    start = x_T * math.sqrt(1 + sigmas[0] ** 2)
    expected = published_sampler(D, start, sigmas, round_sigma, S_churn, scripted())
    found = sample(wavy, diffusion, x_T, info, noise_like=scripted())
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("spacing", ["karras", "uniform"])
@pytest.mark.parametrize("schedule", ["cosine", "flow"])
def test_it_draws_gaussian_data_from_pure_noise_far_above_a_level_of_80(schedule, spacing, eta):
    """Its error falls with the square of the steps, here 60, and is that of the paper's Heun, not of the noise above 80."""
    diffusion = build_diffusion(timestep_num=T, beta_schedule=schedule, objective="pred_edm", clip_denoised=False)
    x_T, info = normal(20_000, 1, 1, 1), SampleInfo("EDM", 60, eta, spacing)
    found = sample(GaussianOracle(diffusion, 0.2, 0.5), diffusion, x_T, info, noise_like=scripted())
    assert found.mean().item() == pytest.approx(0.2, abs=0.02) and found.std().item() == pytest.approx(0.5, abs=0.02)
    if eta == 0:
        torch.testing.assert_close(found, 0.2 + 0.5 * x_T, rtol=0, atol=0.05)


def test_churn_asks_for_noise_only_where_it_adds_any():
    diffusion, asked = build_diffusion(timestep_num=T, beta_schedule="cosine"), []
    for eta in (0.0, 1.0):
        sample(wavy, diffusion, normal(1, 1, 2, 2), SampleInfo("EDM", 5, eta), noise_like=lambda x: asked.append(1) or 0 * x)
        assert len(asked) == (0 if eta == 0 else 4)  # at T - 1 there is no higher level
