import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from diffusion import SAMPLERS, GaussianDiffusion, SampleInfo, make_betas, sample, timestep_pairs
from diffusion.objectives import OBJECTIVES
from diffusion.sample_info import METHODS
from tests.oracles import FiniteOracle, GaussianOracle

T = 1000
STEPS = [1, 2, 7, 20, 50, 300, 333, 999, 1000]
EVERY_SAMPLER = ["DDPM_{}_0p0", "DDIM_{}_0p0", "DDIM_{}_0p5", "DDIM_{}_1p0"]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scripted(seed=1):
    """A noise_like that gives the same sequence every time it is made."""
    generator = torch.Generator().manual_seed(seed)
    return lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype)


def wavy(x_t, t):
    """A network that is nobody's: smooth, of about unit size, and different at every t."""
    return torch.tanh(x_t * 0.7 + torch.sin(t.to(x_t) / 100).view(-1, 1, 1, 1))


def test_the_grammar_knows_every_sampler():
    assert set(METHODS) == set(SAMPLERS)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("S", STEPS)
def test_ddim_at_eta_1_is_ddpm(schedule, clip, S):
    """Two independent formulas for the same jump: DDIM Eq. 12 with eta = 1, and the posterior of DDPM Eq. 7."""
    diffusion = GaussianDiffusion(make_betas(schedule, T), clip_denoised=clip)
    x_T = normal(2, 1, 3, 3)
    ddim, ddpm = (
        sample(wavy, diffusion, x_T, SampleInfo(method, S, 1.0), noise_like=scripted()) for method in ("DDIM", "DDPM")
    )
    torch.testing.assert_close(ddim, ddpm, rtol=1e-7, atol=1e-7)


def test_ddpm_T_is_the_textbook_chain():
    """DDPM Algorithm 2 as printed, its mean from the noise (Eq. 11), without clipping."""
    betas = make_betas("linear", 100)
    diffusion = GaussianDiffusion(betas, clip_denoised=False, variance="fixed_large")
    alpha_bar = torch.cumprod(1 - betas, dim=0)
    x, noise_like = normal(2, 1, 3, 3), scripted()
    for t in range(99, -1, -1):
        eps = wavy(x, torch.full((2,), t))
        x = (x - betas[t] / (1 - alpha_bar[t]).sqrt() * eps) / (1 - betas[t]).sqrt()
        if t > 0:
            x = x + betas[t].sqrt() * noise_like(x)
    found = sample(wavy, diffusion, normal(2, 1, 3, 3), SampleInfo("DDPM", 100, 0.0), noise_like=scripted())
    torch.testing.assert_close(found, x, rtol=1e-9, atol=1e-9)


PEER_NAMES = {"pred_noise": "epsilon", "pred_v": "v_prediction", "pred_x0": "sample"}


@pytest.mark.parametrize("objective", PEER_NAMES)
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("S", STEPS)
def test_ddim_is_that_of_diffusers(objective, clip, eta, S):
    """diffusers' step on our jumps, told the previous timestep that it would otherwise recompute (wrongly, for some S)."""
    betas = make_betas("cosine", T)
    diffusion = GaussianDiffusion(betas, objective=objective, clip_denoised=clip)
    peer = DDIMScheduler(
        trained_betas=betas.numpy(), clip_sample=clip, set_alpha_to_one=True, prediction_type=PEER_NAMES[objective]
    )
    peer.alphas_cumprod = torch.cumprod(1 - betas, dim=0)  # it would keep them in float32
    peer.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    x, noise_like = normal(2, 1, 3, 3), scripted()
    for t, t_prev in timestep_pairs(T, S):
        # It steps to t - T // num_inference_steps; a stride of ours is handed over in that form.
        peer.num_inference_steps, peer.config.num_train_timesteps = 1, t - t_prev
        noise = noise_like(x) if eta > 0 and t_prev >= 0 else torch.zeros_like(x)
        output = wavy(x, torch.full((2,), t))
        x = peer.step(
            output, t, x, eta=eta, use_clipped_model_output=clip, variance_noise=noise if eta > 0 else None
        ).prev_sample
    found = sample(wavy, diffusion, normal(2, 1, 3, 3), SampleInfo("DDIM", S, eta), noise_like=scripted())
    torch.testing.assert_close(found, x, rtol=1e-6, atol=1e-6)




@pytest.mark.parametrize("S", STEPS)
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_ddpm_is_that_of_diffusers(S, variance):
    """Mean and variance of each jump: given our timesteps, diffusers' DDPM respaces as we do.

    Its last step differs for `fixed_large` and S < T: it leaves the noise out only at t = 0, so where the last jump begins
    above that, its finished picture keeps noise of variance beta. DDPM's Algorithm 2 (line 3) adds none: we are right.
    """
    betas = make_betas("linear", T)
    diffusion = GaussianDiffusion(betas, variance=variance)
    peer = DDPMScheduler(trained_betas=betas.numpy(), clip_sample=True, variance_type=variance)
    peer.alphas_cumprod, peer.one = torch.cumprod(1 - betas, dim=0), torch.tensor(1.0, dtype=torch.float64)
    pairs = timestep_pairs(T, S)
    peer.set_timesteps(timesteps=[t for t, _ in pairs])
    x = normal(2, 1, 3, 3)
    for t, t_prev in pairs:
        output = wavy(x, torch.full((2,), t))
        mean, _ = diffusion.posterior(diffusion.predict(output, x, t).x_0, x, t, t_prev)
        sigma = (0.5 * diffusion.log_variance(output, t, t_prev)).exp()
        generator = torch.Generator().manual_seed(t)
        peer_x = peer.step(output, t, x, generator=generator).prev_sample
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(t), dtype=x.dtype)
        ours = mean + sigma * noise if t_prev >= 0 else mean
        if t_prev >= 0 or variance == "fixed_small":
            torch.testing.assert_close(ours, peer_x, rtol=1e-6, atol=1e-6)
        x = ours


@pytest.mark.parametrize("S", [1, 2, 7, 50, 1000])
def test_a_learned_variance_lies_between_the_fixed_ones(S):
    """A network that names beta tilde (or beta) everywhere draws as `fixed_small` (or `fixed_large`), at any number of steps."""
    betas, x_T = make_betas("cosine", T), normal(2, 1, 3, 3)
    for variance, named in (("fixed_small", -1.0), ("fixed_large", 1.0)):
        info = SampleInfo("DDPM", S, 0.0)
        fixed = sample(wavy, GaussianDiffusion(betas, variance=variance), x_T, info, noise_like=scripted())

        def both(x_t, t, named=named):
            return torch.cat([wavy(x_t, t), torch.full_like(x_t, named)], dim=1)

        learned = sample(both, GaussianDiffusion(betas, variance="learned"), x_T, info, noise_like=scripted())
        torch.testing.assert_close(learned, fixed, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("S", [1, 7, 50, 1000])
def test_ddim_lands_near_the_closed_form_flow_of_gaussian_data(objective, S):
    """The probability-flow ODE maps N(0, 1) on N(mean, std^2) linearly: x_0 = mean + std x_T. First order in 1/S."""
    diffusion = GaussianDiffusion(make_betas("cosine", T), objective=objective, clip_denoised=False)
    mean, std = 0.2, 0.5
    x_T = normal(500, 1, 1, 1)
    found = sample(GaussianOracle(diffusion, mean, std), diffusion, x_T, SampleInfo("DDIM", S, 0.0))
    error = (found - (mean + std * x_T)).abs().mean().item()
    assert error < {1: 0.5, 7: 0.12, 50: 0.02, 1000: 0.002}[S], error


@pytest.mark.parametrize("info", ["DDPM_50_0p0", "DDPM_1000_0p0", "DDIM_200_1p0"])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_stochastic_samplers_give_the_mean_and_spread_of_gaussian_data(info, schedule):
    """`fixed_small` is exact for a point and too narrow for wider data; its bias falls with the steps."""
    diffusion = GaussianDiffusion(make_betas(schedule, T), clip_denoised=False)
    mean, std, n = -0.3, 0.4, 20000
    found = sample(
        GaussianOracle(diffusion, mean, std),
        diffusion,
        normal(n, 1, 1, 1),
        SampleInfo.parse(info),
        noise_like=scripted(),
    )
    assert abs(found.mean().item() - mean) < 4 * std / math.sqrt(n) + 0.002
    narrow = {"DDPM_50_0p0": 0.06, "DDPM_1000_0p0": 0.005, "DDIM_200_1p0": 0.015}[info]
    assert -narrow - 4 * std / math.sqrt(2 * n) < found.std().item() - std < 4 * std / math.sqrt(2 * n)


@pytest.mark.parametrize("text", EVERY_SAMPLER)
@pytest.mark.parametrize("schedule, S", [("cosine", 5), ("cosine", 50), ("linear", 20), ("linear", 50)])
def test_every_sampler_ends_on_a_member_of_a_finite_set(text, schedule, S):
    """Few-step DDPM too: nothing of the noise is left."""
    diffusion = GaussianDiffusion(make_betas(schedule, T))
    members = torch.sign(normal(5, 1, 4, 4, seed=3))
    info = SampleInfo.parse(text.format(S))
    found = sample(FiniteOracle(diffusion, members), diffusion, normal(40, 1, 4, 4), info, noise_like=scripted())
    nearest = (found[:, None] - members[None]).abs().amax(dim=(2, 3, 4)).amin(dim=1)
    assert nearest.max() < 1e-3, nearest.max()


@pytest.mark.parametrize("text, calls", [("DDPM_7_0p0", 6), ("DDIM_7_1p0", 6), ("DDIM_7_0p0", 0)])
def test_noise_is_asked_for_only_where_the_spread_is_not_zero(text, calls):
    asked = []

    def noise_like(x):
        asked.append(x.shape)
        return torch.zeros_like(x)

    sample(
        wavy,
        GaussianDiffusion(make_betas("cosine", T)),
        normal(2, 1, 3, 3),
        SampleInfo.parse(text),
        noise_like=noise_like,
    )
    assert len(asked) == calls


@pytest.mark.parametrize("text", ["DDPM_7_0p0", "DDIM_7_0p5"])
def test_the_callback_is_told_of_each_step(text):
    diffusion = GaussianDiffusion(make_betas("cosine", T))
    told, x_T = [], normal(2, 1, 3, 3)
    found = sample(
        wavy, diffusion, x_T, SampleInfo.parse(text), callback=lambda *step: told.append(step), noise_like=scripted()
    )
    assert [step[0] for step in told] == list(range(7))
    assert [step[1:3] for step in told] == timestep_pairs(T, 7)
    assert torch.equal(told[0][3], x_T)
    torch.testing.assert_close(found, told[-1][4].x_0, rtol=0, atol=1e-9)  # the last step lands on its prediction
    assert all(x_t.shape == x_T.shape and prediction.x_0.abs().max() <= 1 for *_, x_t, prediction in told)


def test_gradients_stay_as_the_caller_had_them():
    diffusion = GaussianDiffusion(make_betas("cosine", T))
    layer = torch.nn.Conv2d(1, 1, 1)
    found = sample(lambda x, t: layer(x), diffusion, torch.randn(1, 1, 2, 2), SampleInfo("DDIM", 3, 0.0))
    assert torch.is_grad_enabled() and not found.requires_grad


def test_the_state_is_float32_whatever_the_network_computes_in():
    diffusion = GaussianDiffusion(make_betas("cosine", T))

    def half(x_t, t):
        assert x_t.dtype == torch.float32 and t.dtype == torch.int64 and t.shape == (2,)
        return x_t.bfloat16()

    for dtype in (torch.float16, torch.float32):
        assert (
            sample(half, diffusion, torch.randn(2, 1, 3, 3).to(dtype), SampleInfo("DDPM", 3, 0.0)).dtype
            == torch.float32
        )


def test_more_steps_than_training_are_refused():
    diffusion = GaussianDiffusion(make_betas("cosine", 10))
    with pytest.raises(ValueError, match="1 to the 10 of training, not 11"):
        sample(wavy, diffusion, normal(1, 1, 2, 2), SampleInfo("DDIM", 11, 0.0))
