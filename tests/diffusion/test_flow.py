"""Flow matching is a schedule and a target: the paper's path, loss and Euler steps, and diffusers' scheduler, in float64."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from diffusion import GaussianDiffusion, SampleInfo, build_diffusion, encode, make_betas, sample
from diffusion.objectives import OBJECTIVES
from diffusion.schedules import half_log_snr, schedule_betas, shifted_betas
from tests.diffusion.test_samplers import normal
from tests.oracles import FiniteOracle, GaussianOracle

T = 1000
EXACT = {"rtol": 1e-8, "atol": 1e-8}


def made(T=T, **options):
    options = {"objective": "pred_flow", "loss_type": "l2", "clip_denoised": False, **options}
    return build_diffusion(timestep_num=T, beta_schedule="flow", **options)


def velocity(x_u, u):
    """A velocity that is nobody's: smooth in both."""
    return torch.tanh(0.7 * x_u + torch.sin(3 * u))


def unscaled(diffusion, x_t, t):
    """x_u and u of a state x_t: x_t / (signal + sigma), sigma / (signal + sigma)."""
    alpha_bar = diffusion.alpha_bar(t)
    signal, sigma = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    return x_t / (signal + sigma), sigma / (signal + sigma)


def as_network(diffusion):
    """`velocity` as a network of x_t and t."""
    return lambda x_t, t: velocity(*unscaled(diffusion, x_t, t))


@pytest.mark.parametrize("T", [1, 10, 1000, 4000])
def test_its_log_snr_is_that_of_the_straight_path(T):
    u = torch.arange(1, T + 1, dtype=torch.float64) / T
    lambdas = half_log_snr(torch.cumprod(1 - make_betas("flow", T), dim=0))
    torch.testing.assert_close(lambdas[:-1], ((1 - u) / u).log()[:-1], rtol=1e-7, atol=1e-7)
    assert make_betas("flow", T)[-1] == 0.999
    for shift in (1.0, 3.0):
        whole = torch.cumprod(1 - schedule_betas("flow", T, shift, zero_terminal_snr=T > 1), dim=0)
        moved = shift * u / (1 + (shift - 1) * u)  # Esser et al. 2024, Eq. 23
        torch.testing.assert_close(half_log_snr(whole)[:-1], ((1 - moved) / moved).log()[:-1], rtol=1e-7, atol=1e-7)
        assert whole[-1] == 0 or T == 1


@pytest.mark.parametrize("name", ["linear", "cosine", "sigmoid", "flow"])
def test_a_shift_lowers_the_log_snr_of_any_schedule_and_1_changes_nothing(name):
    betas = make_betas(name, T)
    assert shifted_betas(betas, 1.0) is betas
    before, after = (half_log_snr(torch.cumprod(1 - b, dim=0)) for b in (betas, shifted_betas(betas, 2.5)))
    kept = slice(0, 990)  # the last betas are near 1, and what is left of 1 - beta has lost its digits
    torch.testing.assert_close((before - after)[kept], torch.full((990,), 2.5).double().log(), rtol=0, atol=1e-6)
    betas = schedule_betas(name, T, 2.5, zero_terminal_snr=True)
    assert betas[-1] == 1 and ((betas > 0) & (betas <= 1)).all()


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_state_is_the_straight_path_scaled_and_the_loss_the_paper_s(zero_terminal_snr, shift):
    """Lipman et al. 2023, Eq. 23: || v(x_u, u) - (noise - x_0) ||^2 at x_u = (1 - u) x_0 + u noise."""
    diffusion = made(zero_terminal_snr=zero_terminal_snr, shift=shift)
    x_0, noise, t = normal(6, 1, 3, 3), normal(6, 1, 3, 3, seed=1), torch.tensor([0, 1, 250, 500, 998, 999])
    x_u, u = unscaled(diffusion, diffusion.q_sample(x_0, t, noise), t)
    torch.testing.assert_close(x_u, (1 - u) * x_0 + u * noise, **EXACT)
    if zero_terminal_snr:
        way = (t + 1).double() / T
        torch.testing.assert_close(u.flatten(), shift * way / (1 + (shift - 1) * way), rtol=1e-6, atol=0)
        assert u[-1] == 1
    expected = (velocity(x_u, u) - (noise - x_0)).square().flatten(1).mean(dim=1)
    torch.testing.assert_close(diffusion.training_losses(as_network(diffusion), x_0, t, noise), expected, **EXACT)


@pytest.mark.parametrize("t", [0, 400, 998, 999])
def test_what_a_velocity_says_of_x_0_and_the_noise(t):
    """x_0 = x_u - u v and noise = x_u + (1 - u) v; on another schedule, too."""
    for diffusion in (made(), GaussianDiffusion(make_betas("cosine", T), objective="pred_flow", clip_denoised=False)):
        x_t, output = normal(2, 1, 3, 3), normal(2, 1, 3, 3, seed=1)
        x_u, u = unscaled(diffusion, x_t, t)
        found = diffusion.predict(output, x_t, t)
        torch.testing.assert_close(found.x_0, x_u - u * output, **EXACT)
        torch.testing.assert_close(found.noise, x_u + (1 - u) * output, **EXACT)
        torch.testing.assert_close(diffusion.target(found.x_0, t, found.noise), output, **EXACT)


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("spacing", ["uniform", "quad", "logsnr", "karras"])
@pytest.mark.parametrize("S", [1, 4, 50])
def test_ddim_at_eta_0_takes_the_euler_steps_of_diffusers(S, spacing, shift):
    """diffusers' scheduler on our times, its table in float64 (it would keep float32), and the last u 0: clean."""
    diffusion = made(zero_terminal_snr=True, shift=shift)
    pairs, x_T = diffusion.timestep_pairs(S, spacing), normal(2, 1, 3, 3)
    times = torch.tensor([unscaled(diffusion, x_T, t)[1] for t, _ in pairs] + [0.0], dtype=torch.float64)
    peer = FlowMatchEulerDiscreteScheduler(num_train_timesteps=T)
    peer.set_timesteps(S)
    peer.sigmas, peer.timesteps = times, times[:-1] * T
    x_u = x_T
    for u, timestep in zip(times, peer.timesteps):
        x_u = peer.step(velocity(x_u.double(), u), timestep, x_u).prev_sample.double()
    # Between two of its steps diffusers rounds nothing, but it does its sum in float32.
    found = sample(as_network(diffusion), diffusion, x_T, SampleInfo("DDIM", S, 0.0, spacing))
    torch.testing.assert_close(found, x_u, rtol=1e-5, atol=1e-5)
    x_u = x_T
    for u, u_prev in zip(times[:-1], times[1:]):  # the paper's Euler steps, where nothing is rounded
        x_u = x_u + (u_prev - u) * velocity(x_u, u)
    torch.testing.assert_close(found, x_u, **EXACT)


def test_diffusers_own_times_are_ours():
    """It keeps them in float32: from u = 1 to 1/1000, shifted."""
    peer = FlowMatchEulerDiscreteScheduler(num_train_timesteps=T, shift=3.0)
    diffusion = made(zero_terminal_snr=True, shift=3.0)
    ours = [unscaled(diffusion, torch.zeros(1), t)[1] for t in range(T - 1, -1, -1)]
    torch.testing.assert_close(peer.sigmas, torch.tensor(ours), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method, tolerance", [("DDIM", 0.02), ("DPMPP", 1e-3), ("HEUN", 1e-3), ("UNIPC", 1e-3)])
@pytest.mark.parametrize("zero_terminal_snr", [False, True])
def test_every_solver_follows_the_closed_form_flow_of_gaussian_data(method, tolerance, zero_terminal_snr):
    diffusion, x_T = made(zero_terminal_snr=zero_terminal_snr), normal(500, 1, 1, 1)
    found = sample(GaussianOracle(diffusion, 0.2, 0.5), diffusion, x_T, SampleInfo(method, 100, 0.0))
    assert (found - (0.2 + 0.5 * x_T)).abs().mean() < tolerance


@pytest.mark.parametrize("text", ["DDPM_50_0p0", "DDIM_50_1p0", "DPMPP_20_1p0", "HEUN_18_0p0_karras"])
def test_samplers_with_noise_end_on_a_member_of_a_finite_set(text):
    diffusion = made(clip_denoised=True)
    members = torch.sign(normal(5, 1, 4, 4, seed=3))
    found = sample(FiniteOracle(diffusion, members), diffusion, normal(40, 1, 4, 4), SampleInfo.parse(text))
    nearest = (found[:, None] - members[None]).abs().amax(dim=(2, 3, 4)).amin(dim=1)
    assert nearest.max() < 1e-3, nearest.max()


def test_pictures_are_encoded_and_found_again():
    diffusion = made()
    network, x_0 = GaussianOracle(diffusion, 0.2, 0.5), 0.2 + 0.5 * normal(50, 1, 2, 2)
    latent = encode(network, diffusion, x_0, diffusion.timestep_pairs(500))
    assert (sample(network, diffusion, latent, SampleInfo("DDIM", 500, 0.0)) - x_0).abs().mean() < 5e-3


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("weighting", ["p2", "min_snr", "edm"])
def test_a_weighting_weighs_the_same_error_whatever_the_network_emits(objective, weighting):
    """The same wrong estimate of x_0, said in each objective's terms, costs the same: here x_0 itself is off by `error`."""
    options = {"loss_type": "l2", "weighting": weighting, "sigma_data": 0.4, "clip_denoised": False}
    diffusion, plain = (build_diffusion(timestep_num=T, beta_schedule="flow", objective=name, **options)
                        for name in (objective, "pred_x0"))  # fmt: skip
    x_0, noise, error = normal(4, 1, 3, 3), normal(4, 1, 3, 3, seed=1), normal(4, 1, 3, 3, seed=2)
    t = torch.tensor([0, 100, 600, 998])
    found, expected = (
        each.training_losses(lambda x_t, t, each=each: each.output_for(x_0 + error, x_t, t), x_0, t, noise)
        for each in (diffusion, plain)
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
