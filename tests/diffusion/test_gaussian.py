import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from datasets import to_float
from diffusion import GaussianDiffusion, make_betas
from diffusion.losses import LOSS_TYPES
from diffusion.objectives import OBJECTIVES
from diffusion.variational import discretized_gaussian_log_likelihood, gaussian_kl
from diffusion.weighting import loss_weight

SHAPE = (6, 3, 4, 5)


@pytest.fixture
def draws():
    generator = torch.Generator().manual_seed(0)
    x_0 = torch.rand(SHAPE, generator=generator, dtype=torch.float64) * 2 - 1
    noise = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    return x_0, noise, torch.tensor([0, 1, 100, 500, 900, 990])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("clip", [True, False])
def test_predict_inverts_target(schedule, objective, clip, draws):
    x_0, noise, t = draws
    diffusion = GaussianDiffusion(make_betas(schedule, 1000), objective=objective, clip_denoised=clip)
    prediction = diffusion.predict(diffusion.target(x_0, t, noise), diffusion.q_sample(x_0, t, noise), t)
    torch.testing.assert_close(prediction.x_0, x_0, rtol=0, atol=1e-9)
    torch.testing.assert_close(prediction.noise, noise, rtol=0, atol=1e-9)


def test_q_sample_is_the_chain_of_single_steps():
    """Eq. 4 against Eq. 2, step by step: mean factor and variance of x_t given x_0."""
    betas = make_betas("linear", 50)
    diffusion = GaussianDiffusion(betas)
    mean, variance = 1.0, 0.0
    for t, beta in enumerate(betas.tolist()):
        mean, variance = mean * (1 - beta) ** 0.5, variance * (1 - beta) + beta
        one, zero = torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, 1, dtype=torch.float64)
        torch.testing.assert_close(diffusion.q_sample(one, t, zero).item(), mean, rtol=1e-12, atol=0)
        torch.testing.assert_close(diffusion.q_sample(zero, t, one).item() ** 2, variance, rtol=1e-12, atol=0)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_int_t_is_a_tensor_of_that_t(objective, draws):
    x_0, noise, _ = draws
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), objective=objective)
    t, t_prev = torch.full((6,), 400), torch.full((6,), -1)
    for many, one in (
        (diffusion.q_sample(x_0, t, noise), diffusion.q_sample(x_0, 400, noise)),
        (diffusion.target(x_0, t, noise), diffusion.target(x_0, 400, noise)),
        (diffusion.predict(noise, x_0, t).x_0, diffusion.predict(noise, x_0, 400).x_0),
        (diffusion.posterior(x_0, noise, t, t_prev)[0], diffusion.posterior(x_0, noise, 400, -1)[0]),
    ):
        torch.testing.assert_close(many, one, rtol=1e-12, atol=1e-12)


def test_clipping_derives_the_noise_again(draws):
    x_0, noise, t = draws
    diffusion = GaussianDiffusion(make_betas("linear", 1000))
    x_t = diffusion.q_sample(x_0, t, noise)
    prediction = diffusion.predict(3 * noise, x_t, t)
    assert prediction.x_0.abs().max() == 1
    torch.testing.assert_close(diffusion.q_sample(prediction.x_0, t, prediction.noise), x_t, rtol=0, atol=1e-9)


@pytest.mark.parametrize("t, t_prev", [(999, 979), (500, 3), (20, 19), (7, 0), (300, -1), (0, -1)])
def test_posterior_is_bayes_rule(t, t_prev):
    """Eq. 6-7 against the textbook product of two Gaussians, q(x_t | x_prev) q(x_prev | x_0)."""
    diffusion = GaussianDiffusion(make_betas("linear", 1000))
    ab_t, ab_prev = diffusion.alpha_bar(t), diffusion.alpha_bar(t_prev)
    a, noise_var = (ab_t / ab_prev) ** 0.5, 1 - ab_t / ab_prev
    prior_mean, prior_var = ab_prev**0.5 * 0.3, 1 - ab_prev
    gain = prior_var * a / (a * a * prior_var + noise_var)
    mean, variance = prior_mean + gain * (-0.8 - a * prior_mean), (1 - gain * a) * prior_var
    x_0, x_t = (torch.full((1, 1, 1, 1), value, dtype=torch.float64) for value in (0.3, -0.8))
    found = diffusion.posterior(x_0, x_t, t, t_prev)
    torch.testing.assert_close(found[0].item(), mean, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found[1].item(), variance, rtol=1e-6, atol=1e-15)


def test_the_variances_of_a_jump():
    betas = make_betas("cosine", 1000)
    output = torch.zeros(2, 2, 2, 2, dtype=torch.float64)
    small, large, learned = (GaussianDiffusion(betas, variance=v) for v in ("fixed_small", "fixed_large", "learned"))
    x = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
    for t, t_prev, beta in ((500, 499, betas[500]), (501, 499, 1 - (1 - betas[500]) * (1 - betas[501]))):
        tilde = small.posterior(x, x, t, t_prev)[1]
        torch.testing.assert_close(small.log_variance(output, t, t_prev).exp(), tilde, rtol=1e-9, atol=0)
        torch.testing.assert_close(large.log_variance(output, t, t_prev).exp(), beta, rtol=1e-9, atol=0)
        for fraction, expected in ((-1.0, tilde), (1.0, beta), (0.0, (tilde * beta).sqrt())):
            output[:, 1] = fraction
            found = learned.log_variance(output, t, t_prev)
            assert found.shape == x.shape
            torch.testing.assert_close(found.exp(), expected.expand_as(found), rtol=1e-9, atol=0)
    assert small.posterior(x, x, 0, -1)[1] == 0
    many = torch.tensor([0, 500]), torch.tensor([-1, 499])
    for diffusion in (small, large, learned):
        each = torch.stack(
            [
                diffusion.log_variance(output, 0, -1).expand(2, 1, 2, 2)[0],
                diffusion.log_variance(output, 500, 499).expand(2, 1, 2, 2)[1],
            ]
        )
        torch.testing.assert_close(diffusion.log_variance(output, *many).expand(2, 1, 2, 2), each, rtol=1e-9, atol=0)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_losses_are_distances_of_each_picture(loss_type, draws):
    x_0, noise, t = draws
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), loss_type=loss_type)
    losses = diffusion.training_losses(lambda x_t, t: torch.zeros_like(x_t), x_0, t, noise)
    assert losses.shape == (6,)
    of_pixels = {"l1": noise.abs(), "l2": noise**2, "huber": (noise**2 + 0.01).sqrt() - 0.1}
    if loss_type == "picture_huber":
        # Song and Dhariwal 2023: sqrt(|d|^2 + c^2) - c with c = 0.00054 sqrt(D), here over sqrt(D).
        D = noise[0].numel()
        c = 0.00054 * D**0.5
        expected = (torch.linalg.vector_norm(noise.flatten(1), dim=1) ** 2 + c**2).sqrt().sub(c) / D**0.5
    else:
        expected = of_pixels[loss_type].mean(dim=(1, 2, 3))
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_network_is_shown_x_t_and_t_and_a_perfect_one_loses_nothing(objective, draws):
    x_0, noise, t = draws
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), objective=objective)

    def perfect(x_t, times):
        torch.testing.assert_close(x_t, diffusion.q_sample(x_0, t, noise), rtol=0, atol=0)
        assert torch.equal(times, t)
        return diffusion.target(x_0, t, noise)

    assert diffusion.training_losses(perfect, x_0, t, noise).abs().max() < 1e-12  # pred_edm's x_0 is computed


def test_tables_are_float64_and_stay_out_of_checkpoints():
    diffusion = GaussianDiffusion(make_betas("cosine", 1000))
    assert diffusion.state_dict() == {}
    assert all(buffer.dtype == torch.float64 for buffer in diffusion.buffers())
    assert (
        diffusion.q_sample(torch.zeros(1, 1, 2, 2), torch.tensor([5]), torch.zeros(1, 1, 2, 2)).dtype == torch.float32
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"objective": "pred_nose"}, "objective 'pred_nose'.*pred_noise"),
        ({"loss_type": "l3"}, "loss_type 'l3'.*l1, l2"),
        ({"variance": "large"}, "variance 'large'.*fixed_small, fixed_large, learned"),
        ({"weighting": "p3"}, "weighting 'p3'.*p2, min_snr"),
        ({"clip_denoised": "static"}, "clip_denoised 'static'.*dynamic"),
        ({"betas": torch.tensor([1.0, 0.1])}, "betas"),
        ({"betas": torch.tensor([0.1, 1.0])}, "zero terminal SNR; use pred_v"),
        ({"betas": torch.tensor([0.1, 1.0]), "objective": "pred_v", "weighting": "p2"}, "weighting p2.*use none"),
        ({"betas": torch.tensor([[0.1]])}, "betas"),
    ],
)
def test_unknown_choices_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        GaussianDiffusion(**({"betas": make_betas("linear", 10)} | arguments))


def test_dynamic_thresholding_keeps_what_is_within_and_shrinks_what_is_beyond():
    """Saharia et al. 2022, Fig. A.10b, by numpy's quantile; and the noise is derived again."""
    diffusion = GaussianDiffusion(make_betas("linear", 1000), clip_denoised="dynamic", objective="pred_x0")
    x_0 = torch.linspace(-3, 3, 400, dtype=torch.float64).view(1, 1, 20, 20)
    both = torch.cat([x_0, 0.1 * x_0])
    x_t = torch.ones_like(both)
    prediction = diffusion.predict(both, x_t, 500)
    s = np.quantile(x_0.abs().numpy(), 0.995)
    torch.testing.assert_close(prediction.x_0[:1], x_0.clamp(-s, s) / s, rtol=1e-9, atol=1e-9)
    assert torch.equal(prediction.x_0[1:], both[1:])
    torch.testing.assert_close(diffusion.q_sample(prediction.x_0, 500, prediction.noise), x_t, rtol=1e-9, atol=1e-9)
    assert torch.equal(diffusion.predict(both, x_t, 500, clip=False).x_0, both)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("weighting", ["none", "p2", "min_snr"])
def test_the_objectives_are_translations_of_each_other(objective, weighting, draws):
    """The same estimate of x_0 has, for every objective, the same weighted squared error: that of the noise."""
    x_0, noise, t = draws
    options = {"loss_type": "l2", "clip_denoised": False}
    betas = make_betas("linear", 1000)
    plain = GaussianDiffusion(betas, **options)
    diffusion = GaussianDiffusion(betas, objective=objective, weighting=weighting, **options)
    wrong_x_0 = 0.5 * x_0 + 0.1

    def network_of(diffusion):
        def network(x_t, t):
            ab = diffusion.alpha_bar(t)
            return diffusion.target(wrong_x_0, t, (x_t - ab.sqrt() * wrong_x_0) / (1 - ab).sqrt())

        return network

    of_noise = plain.training_losses(network_of(plain), x_0, t, noise)
    ab = plain.alpha_bar(t).flatten()
    snr = ab / (1 - ab)
    weight = {"p2": 1 / (1 + snr), "min_snr": torch.minimum(snr, torch.tensor(5.0)) / snr}.get(weighting)
    if weighting == "none":  # each objective has its own error: Salimans and Ho 2022, Sec. 4
        weights = {"pred_noise": snr / snr, "pred_v": 1 + 1 / snr, "pred_flow": (1 + snr.rsqrt()) ** 2}
        weight = weights.get(objective, 1 / snr)
    found = diffusion.training_losses(network_of(diffusion), x_0, t, noise)
    torch.testing.assert_close(found, weight * of_noise, rtol=1e-7, atol=0)


def test_weights_are_those_of_the_papers():
    """P2: Choi et al. 2022, Eq. 8, k = 1. Min-SNR: Hang et al. 2023, Sec. 3.4: min(SNR, 5) for x_0, over SNR for the noise, over SNR + 1 for v."""
    snr = torch.tensor([0.1, 1.0, 5.0, 50.0], dtype=torch.float64)
    options = {"p2_k": 1.0, "p2_gamma": 0.5, "min_snr_gamma": 5.0, "sigma_data": 0.5}
    for weighting, objective, expected in (
        ("p2", "pred_noise", [1 / math.sqrt(1.1), 1 / math.sqrt(2), 1 / math.sqrt(6), 1 / math.sqrt(51)]),
        ("min_snr", "pred_x0", [0.1, 1.0, 5.0, 5.0]),
        ("min_snr", "pred_noise", [1.0, 1.0, 1.0, 0.1]),
        ("min_snr", "pred_v", [0.1 / 1.1, 0.5, 5 / 6, 5 / 51]),
    ):
        found = loss_weight(weighting, objective, snr, **options)
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


# --- the variational bound


def test_kl_is_the_integral_it_stands_for():
    x = torch.linspace(-30, 30, 200001, dtype=torch.float64)
    for m1, v1, m2, v2 in ((0.0, 1.0, 0.0, 1.0), (0.3, 0.5, -0.2, 2.0), (1.0, 3.0, 0.0, 0.4)):
        p = torch.distributions.Normal(m1, v1**0.5).log_prob(x)
        q = torch.distributions.Normal(m2, v2**0.5).log_prob(x)
        expected = torch.trapezoid(p.exp() * (p - q), x)
        values = (torch.tensor(value, dtype=torch.float64) for value in (m1, v1, m2, math.log(v2)))
        torch.testing.assert_close(gaussian_kl(*values), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("mean, std", [(0.0, 0.3), (-1.0, 0.05), (0.97, 0.01), (0.2, 3.0)])
def test_the_decoder_is_a_distribution_over_256_values(mean, std):
    grey = to_float(torch.arange(256, dtype=torch.uint8)).double()
    log_p = discretized_gaussian_log_likelihood(
        grey, torch.full((256,), mean).double(), torch.full((256,), math.log(std)).double()
    )
    torch.testing.assert_close(log_p.exp().sum().item(), 1.0, rtol=0, atol=1e-6)
    middle = int((mean + 1) * 127.5)
    if 2 < middle < 253 and std > 0.1:  # about the density times the width of a bin
        density = torch.distributions.Normal(mean, std).log_prob(grey[middle])
        torch.testing.assert_close(log_p[middle], density + math.log(2 / 255), rtol=0, atol=1e-3)


def test_bound_terms_against_a_direct_computation(draws):
    """Each KL from torch.distributions on the means and variances written out; t = 0 from the decoder."""
    x_0, noise, t = draws
    x_0 = to_float(((x_0 + 1) * 127.5).to(torch.uint8)).double()
    betas = make_betas("cosine", 1000)
    diffusion = GaussianDiffusion(betas, variance="learned", objective="pred_x0", clip_denoised=False)
    output = torch.cat([0.9 * x_0, 0.3 * torch.ones_like(x_0)], dim=1)
    x_t = diffusion.q_sample(x_0, t, noise)
    found = diffusion.bound_terms(output, x_0, x_t, t)
    alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - betas, 0)])
    for i, time in enumerate(t.tolist()):
        ab, ab_prev, beta = alpha_bar[time + 1], alpha_bar[time], betas[time]
        tilde = beta * (1 - ab_prev) / (1 - ab)
        floor = betas[1] * (1 - alpha_bar[1]) / (1 - alpha_bar[2])
        log_variance = 0.65 * beta.log() + 0.35 * torch.where(tilde > 0, tilde, floor).log()

        def mean_of(picture, ab=ab, ab_prev=ab_prev, beta=beta, x=x_t[i]):
            return ab_prev.sqrt() * beta / (1 - ab) * picture + (1 - beta).sqrt() * (1 - ab_prev) / (1 - ab) * x

        guess = torch.distributions.Normal(mean_of(0.9 * x_0[i]), (0.5 * log_variance).exp())
        if time > 0:
            truth = torch.distributions.Normal(mean_of(x_0[i]), tilde.sqrt())
            nats = torch.distributions.kl_divergence(truth, guess).mean()
        else:
            distance, std = (x_0[i] - guess.mean).abs().numpy(), guess.stddev.numpy()
            far, near = (norm.logcdf(-(distance + side / 255) / std) for side in (1, -1))
            nats = torch.tensor(-(near + np.log1p(-np.exp(far - near))).mean())
        torch.testing.assert_close(found[i], nats / math.log(2), rtol=1e-5, atol=1e-9)


def test_the_bound_trains_the_variance_alone(draws):
    x_0, noise, t = draws
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), variance="learned", loss_type="l2")
    plain = GaussianDiffusion(make_betas("cosine", 1000), loss_type="l2")
    output = torch.zeros(6, 6, 4, 5, dtype=torch.float64, requires_grad=True)
    hybrid = diffusion.training_losses(lambda x_t, t: output, x_0, t, noise)
    hybrid.sum().backward()
    half = torch.zeros(6, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    plain.training_losses(lambda x_t, t: half, x_0, t, noise).sum().backward()
    torch.testing.assert_close(output.grad[:, :3], half.grad, rtol=1e-12, atol=0)
    assert (output.grad[:, 3:].abs().amax(dim=(1, 2, 3)) > 0).all()
    terms = diffusion.bound_terms(output.detach(), x_0, diffusion.q_sample(x_0, t, noise), t)
    torch.testing.assert_close(hybrid.detach() - noise.square().mean(dim=(1, 2, 3)), terms, rtol=1e-9, atol=1e-9)
