"""The solvers of higher order: their orders of convergence, diffusers as an oracle, and real pictures encoded and back."""

import math

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

from diffusion import GaussianDiffusion, SampleInfo, encode, make_betas, sample
from diffusion.sample_info import METHODS
from diffusion.samplers import UNIPC_ORDER
from diffusion.schedules import half_log_snr
from tests.diffusion.test_samplers import PEER_NAMES, STEPS, normal, scripted, wavy
from tests.oracles import FiniteOracle, GaussianOracle

MEAN, STD = 0.2, 0.5


def exact_flow(diffusion, x, t, t_end):
    """The probability-flow ODE for N(MEAN, STD^2) data carries each quantile of the marginal at t to that at t_end."""

    def marginal(time):
        alpha_bar = diffusion.alpha_bar(time)
        return math.sqrt(alpha_bar) * MEAN, math.sqrt(alpha_bar * STD**2 + 1 - alpha_bar)

    (mean, std), (mean_end, std_end) = marginal(t), marginal(t_end)
    return mean_end + std_end * (x - mean) / std


def graded(h, lambdas, start, end, short_ends):
    """Jumps of about h in lambda; with `short_ends` there are three at each end, of about h^2."""
    count = round((lambdas[end] - lambdas[start]) / h)
    wanted = np.linspace(lambdas[start], lambdas[end], count + 1)
    fine = h * h * np.arange(1, 4) * 0.3
    if short_ends:
        wanted = np.concatenate([wanted[:1], wanted[0] + fine, wanted[1:-1], wanted[-1] - fine[::-1], wanted[-1:]])
    times = [int(np.abs(lambdas - value).argmin()) for value in wanted]
    return list(zip(times[:-1], times[1:]))


@pytest.mark.parametrize("method, order", [("DDIM", 1), ("DPMPP", 2), ("HEUN", 2), ("UNIPC", UNIPC_ORDER + 1), ("EDM", 2)])
def test_the_error_falls_at_the_order_of_the_solver(method, order):
    """The slope of log error over log step, on a chain fine enough (T = 400,000) for any step, between t = 0.9 T and 0.1 T.

    UniPC's corrector raises the order of its predictor by one. Its first and last steps are of lower order by design
    (there is no past, and then no clean lambda), which would hide that: here they are short.
    """
    T = 400_000
    diffusion = GaussianDiffusion(make_betas("cosine", T), objective="pred_v", clip_denoised=False)
    lambdas = half_log_snr(torch.tensor([diffusion.alpha_bar(t) for t in range(T)], dtype=torch.float64)).numpy()
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).view(-1, 1, 1, 1)
    steps = [
        h / 4 if method == "DPMPP" else h for h in (0.25, 0.125, 0.0625, 0.03125)
    ]  # DPM++'s error changes its sign
    errors = []
    for h in steps:
        pairs = graded(h, lambdas, int(0.9 * T), int(0.1 * T), short_ends=method == "UNIPC")
        found = sample(
            GaussianOracle(diffusion, MEAN, STD), diffusion, x, SampleInfo(method, len(pairs), 0.0), pairs=pairs
        )
        errors.append((found - exact_flow(diffusion, x, pairs[0][0], pairs[-1][1])).abs().mean().item())
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert abs(slope - order) < (0.5 if order == 4 else 0.2), (slope, errors)


@pytest.mark.parametrize("spacing", ["uniform", "quad", "logsnr"])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "sigmoid"])
@pytest.mark.parametrize("method", ["DDIM", "DPMPP", "HEUN", "UNIPC"])
def test_more_steps_come_nearer_to_the_closed_form(method, schedule, spacing):
    diffusion = GaussianDiffusion(make_betas(schedule, 1000), objective="pred_v", clip_denoised=False)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).view(-1, 1, 1, 1)
    exact = exact_flow(diffusion, x, 999, -1)
    network = GaussianOracle(diffusion, MEAN, STD)
    errors = [
        (sample(network, diffusion, x, SampleInfo(method, S, 0.0, spacing)) - exact).abs().mean().item()
        for S in (4, 20, 100)
    ]
    assert errors[0] > 2 * max(errors[1:]), errors
    assert errors[2] < (0.03 if method == "DDIM" else 0.005), errors


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_the_sde_solver_gives_the_known_mean_and_spread(eta):
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), clip_denoised=False, objective="pred_v")
    n = 20000
    network = GaussianOracle(diffusion, MEAN, STD)
    found = sample(network, diffusion, normal(n, 1, 1, 1), SampleInfo("DPMPP", 50, eta), noise_like=scripted())
    assert abs(found.mean().item() - MEAN) < 4 * STD / math.sqrt(n) + 0.002
    assert abs(found.std().item() - STD) < 4 * STD / math.sqrt(2 * n) + 0.005


@pytest.mark.parametrize(
    "text", ["DPMPP_{}_0p0", "DPMPP_{}_1p0", "HEUN_{}_0p0", "UNIPC_{}_0p0", "EDM_{}_0p0", "EDM_{}_1p0", "DPMPP_{}_0p0_logsnr", "UNIPC_{}_0p0_quad"]
)
@pytest.mark.parametrize(
    "schedule, S", [("cosine", 5), ("cosine", 50), ("linear", 20), ("linear", 50), ("sigmoid", 50)]
)
def test_fast_solvers_end_on_a_member_of_a_finite_set(text, schedule, S):
    diffusion = GaussianDiffusion(make_betas(schedule, 1000), objective="pred_v")
    members = torch.sign(normal(5, 1, 6, 6, seed=3))
    info = SampleInfo.parse(text.format(S))
    found = sample(FiniteOracle(diffusion, members), diffusion, normal(40, 1, 6, 6), info, noise_like=scripted())
    nearest = (found[:, None] - members[None]).abs().amax(dim=(2, 3, 4)).amin(dim=1)
    assert nearest.max() < 1e-3, nearest.max()


def peer_sigmas(peer, diffusion, pairs):
    """diffusers' multistep schedulers on our timesteps, their tables in float64 (they would round them to float32)."""
    alpha_bar = torch.tensor([diffusion.alpha_bar(t) for t, _ in pairs] + [1.0], dtype=torch.float64)
    peer.set_timesteps(timesteps=[t for t, _ in pairs]) if not isinstance(
        peer, UniPCMultistepScheduler
    ) else peer.set_timesteps(len(pairs))
    peer.timesteps = torch.tensor([t for t, _ in pairs])
    peer.sigmas = ((1 - alpha_bar) / alpha_bar).sqrt()
    peer.num_inference_steps = len(pairs)
    return peer


@pytest.mark.parametrize("S", STEPS)
@pytest.mark.parametrize("objective", PEER_NAMES)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_dpmpp_is_that_of_diffusers(S, objective, eta):
    diffusion = GaussianDiffusion(make_betas("linear", 1000), objective=objective, clip_denoised=False)
    peer = DPMSolverMultistepScheduler(
        trained_betas=make_betas("linear", 1000).numpy(), prediction_type=PEER_NAMES[objective], final_sigmas_type="zero",
        algorithm_type="sde-dpmsolver++" if eta else "dpmsolver++", solver_order=2, lower_order_final=True,
    )  # fmt: skip
    pairs = diffusion.timestep_pairs(S)
    peer_sigmas(peer, diffusion, pairs)
    x, noise_like = normal(2, 1, 3, 3), scripted()
    for t, t_prev in pairs:
        noise = noise_like(x) if eta and t_prev >= 0 else torch.zeros_like(x)
        x = peer.step(wavy(x, torch.full((2,), t)), t, x, variance_noise=noise).prev_sample
    found = sample(wavy, diffusion, normal(2, 1, 3, 3), SampleInfo("DPMPP", S, eta), noise_like=scripted())
    torch.testing.assert_close(found, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("S", STEPS)
@pytest.mark.parametrize("objective", PEER_NAMES)
def test_unipc_is_that_of_diffusers(S, objective):
    diffusion = GaussianDiffusion(make_betas("linear", 1000), objective=objective, clip_denoised=False)
    peer = UniPCMultistepScheduler(
        trained_betas=make_betas("linear", 1000).numpy(), prediction_type=PEER_NAMES[objective], solver_order=UNIPC_ORDER,
        solver_type="bh2", final_sigmas_type="zero", lower_order_final=True,
    )  # fmt: skip
    pairs = diffusion.timestep_pairs(S)
    peer_sigmas(peer, diffusion, pairs)
    x = normal(2, 1, 3, 3)
    for t, _ in pairs:
        x = peer.step(wavy(x, torch.full((2,), t)), t, x).prev_sample
    found = sample(wavy, diffusion, normal(2, 1, 3, 3), SampleInfo("UNIPC", S, 0.0))
    torch.testing.assert_close(found, x, rtol=1e-5, atol=1e-5)


def test_heun_costs_two_calls_a_step_and_one_for_the_last():
    diffusion = GaussianDiffusion(make_betas("cosine", 1000))
    calls = []

    def counted(x_t, t):
        calls.append(int(t[0]))
        return wavy(x_t, t)

    for method, expected in (("HEUN", 35), ("EDM", 35), ("UNIPC", 18), ("DPMPP", 18), ("DDIM", 18)):
        calls.clear()
        sample(counted, diffusion, normal(1, 1, 3, 3), SampleInfo(method, 18, 0.0))
        assert len(calls) == expected and min(calls) >= 0


@pytest.mark.parametrize("text", ["DPMPP_7_0p0", "DPMPP_7_1p0", "HEUN_7_0p0", "UNIPC_7_0p0", "EDM_7_0p0"])
@pytest.mark.parametrize("clip", [True, "dynamic"])
def test_clipping_and_callbacks_are_the_same_in_all_of_them(text, clip):
    """Each prediction that is told of is clipped, and its noise leads from its x_0 to x_t; the last x_0 is the picture."""
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), clip_denoised=clip)
    told = []
    found = sample(lambda x, t: 3 * wavy(x, t), diffusion, normal(2, 1, 3, 3), SampleInfo.parse(text), noise_like=scripted(),
                   callback=lambda *step: told.append(step))  # fmt: skip
    assert [step[:3] for step in told] == [(i, *pair) for i, pair in enumerate(diffusion.timestep_pairs(7))]
    assert all(prediction.x_0.abs().max() <= 1 for *_, prediction in told)
    assert torch.equal(found, told[-1][4].x_0)
    if not text.startswith("UNIPC"):  # UniPC moves x to its corrected place after the prediction was made
        for _, t, _, x_t, prediction in told:
            torch.testing.assert_close(diffusion.q_sample(prediction.x_0, t, prediction.noise), x_t, rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("S", [1, 2, 3, 10])
@pytest.mark.parametrize("spacing", ["uniform", "quad", "logsnr", "karras"])
def test_zero_terminal_snr_and_tiny_step_counts_give_numbers(method, S, spacing):
    from diffusion.schedules import zero_terminal_snr_betas

    betas = zero_terminal_snr_betas(make_betas("linear", 1000))
    diffusion = GaussianDiffusion(betas, objective="pred_v")
    found = sample(
        wavy, diffusion, normal(2, 1, 3, 3).float(), SampleInfo(method, S, 0.0, spacing), noise_like=scripted()
    )
    assert torch.isfinite(found).all() and found.abs().max() <= 1


# --- encoding


def test_encoding_lands_on_the_closed_form_latent():
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), clip_denoised=False, objective="pred_v")
    x_0 = torch.linspace(-1.5, 1.5, 9, dtype=torch.float64).view(-1, 1, 1, 1)
    found = encode(GaussianOracle(diffusion, MEAN, STD), diffusion, x_0, diffusion.timestep_pairs(1000))
    torch.testing.assert_close(found, (x_0 - MEAN) / STD, rtol=0, atol=0.02)


@pytest.mark.parametrize("schedule, share", [("cosine", 0.0032), ("linear", 0.0050)])
def test_a_clean_picture_is_taken_for_x_at_t_0_and_the_surplus_of_signal_for_noise(schedule, share):
    """The size of the first jump's error: with one picture as data, the noise of its latent should be 0."""
    diffusion = GaussianDiffusion(make_betas(schedule, 1000), clip_denoised=False, objective="pred_v")
    picture = normal(1, 1, 2, 2)
    found = encode(FiniteOracle(diffusion, picture), diffusion, picture, diffusion.timestep_pairs(50))
    signal = math.sqrt(diffusion.alpha_bar(999))
    noise = (found - signal * picture) / math.sqrt(1 - signal**2)
    s = math.sqrt(diffusion.alpha_bar(0))
    torch.testing.assert_close(noise, (1 - s) / math.sqrt(1 - s**2) * picture, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(noise, share * picture, rtol=0.02, atol=1e-9)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_more_steps_reconstruct_better(schedule):
    diffusion = GaussianDiffusion(make_betas(schedule, 1000), clip_denoised=False, objective="pred_v")
    network = GaussianOracle(diffusion, MEAN, STD)
    x_0 = MEAN + STD * normal(50, 1, 2, 2)
    errors = []
    for S in (5, 20, 100, 500):
        latent = encode(network, diffusion, x_0, diffusion.timestep_pairs(S))
        errors.append((sample(network, diffusion, latent, SampleInfo("DDIM", S, 0.0)) - x_0).square().mean().item())
    assert all(more < fewer / 2 for fewer, more in zip(errors, errors[1:])), errors


def test_encoding_clips_as_drawing_does_and_tells_of_each_jump():
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), clip_denoised=True)
    told = []
    encode(
        lambda x, t: 3 * wavy(x, t),
        diffusion,
        normal(2, 1, 3, 3),
        diffusion.timestep_pairs(7),
        callback=lambda *step: told.append(step),
    )
    assert [step[1:3] for step in told] == diffusion.timestep_pairs(7)[::-1]
    assert max(prediction.x_0.abs().max() for *_, prediction in told) == 1


def test_a_network_that_overshoots_black_and_white_finds_its_pictures_again():
    """One trained by the loss of clipped estimates: its x_0 is right where it is clipped, and no measure beyond."""
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), objective="pred_x0")
    pictures = torch.sign(normal(3, 1, 4, 4))
    oracle, pairs = FiniteOracle(diffusion, pictures), diffusion.timestep_pairs(50)
    latent = encode(lambda x, t: 1.5 * oracle(x, t), diffusion, pictures, pairs)
    again = sample(lambda x, t: 1.5 * oracle(x, t), diffusion, latent, SampleInfo("DDIM", 50, 0.0))
    torch.testing.assert_close(again, pictures, rtol=0, atol=1e-6)
    assert latent.std() < 1.5  # as they were with estimates beyond [-1, 1]: 38
