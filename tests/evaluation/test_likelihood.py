"""The variational bound, against the closed form for Gaussian data; the mode likelihood, run as a user runs it."""

import json
import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.stats import norm

from datasets import to_float, to_uint8
from diffusion import build_diffusion
from diffusion.variational import discretized_gaussian_log_likelihood
from evaluation.likelihood import Bound, make_strata, variational_bound
from tests.oracles import GaussianOracle
from tests.processes import done, files, refused, run

CPU = torch.device("cpu")


def test_strata_share_out_every_timestep_once():
    for timestep_num in (2, 3, 20, 1000):
        for count in {1, 2, 3, 7, 19, 99, 998, 999} & set(range(1, timestep_num)):
            strata = make_strata(timestep_num, count)
            assert [t for stratum in strata for t in stratum] == list(range(1, timestep_num)) and len(strata) == count


def gaussian_case(count: int, variance: str = "fixed_small"):
    """Pixels from N(0.1, 0.3^2) as uint8, 40 steps of noise, and the network that is exact for them."""
    diffusion = build_diffusion(
        timestep_num=40, beta_schedule="cosine", objective="pred_noise", clip_denoised=False, variance=variance
    )
    pixels = 0.1 + 0.3 * torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return diffusion, GaussianOracle(diffusion, 0.1, 0.3), to_uint8(pixels)


def closed_form(diffusion, mean: float, std: float) -> tuple[float, list[float], float]:
    """Decoder, terms of t = 1 to T - 1 and prior in bits a dimension, for N(mean, std^2) data and its exact network.

    A step's two means differ by the x_0 weight of DDPM Eq. 7 times an error of the variance of x_0 given x_t; the
    variances are equal. The decoder's error is integrated numerically.
    """
    alpha_bar = [1.0] + [diffusion.alpha_bar(t) for t in range(diffusion.timestep_num)]
    terms = []
    for now, before in zip(alpha_bar[1:], alpha_bar):
        unknown = std**2 * (1 - now) / (now * std**2 + 1 - now)
        beta = 1 - now / before
        tilde = beta * (1 - before) / (1 - now)
        weight = math.sqrt(before) * beta / (1 - now)
        terms.append(weight**2 * unknown / (2 * tilde * math.log(2)) if tilde else unknown)
    first, second = alpha_bar[1:3]
    sigma = math.sqrt((1 - second / first) * (1 - first) / (1 - second))
    error = np.linspace(-8, 8, 20_001) * math.sqrt(terms[0])
    lower, upper = (norm.logcdf((-np.abs(error) + side / 255) / sigma) for side in (-1, 1))
    bits = -(upper + np.log1p(-np.exp(lower - upper))) / np.log(2)
    density = norm.pdf(error, scale=math.sqrt(terms[0]))
    last = alpha_bar[-1]
    prior = 0.5 * (last * (mean**2 + std**2) - last - math.log1p(-last)) / math.log(2)
    return np.trapezoid(bits * density, error), terms[1:], prior


@pytest.mark.parametrize("mean, std", [(0.0, 0.3), (-1.0, 0.05), (0.97, 0.01), (0.2, 3.0), (0.3, 1e-3)])
@pytest.mark.parametrize("dtype, rtol", [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_the_decoder_is_exact_however_improbable_a_grey_value_is(mean, std, dtype, rtol):
    """Against 60 digits: log probabilities down to -840,000 nats, where a floor of 1e-12 would say -27.6."""
    grey = to_float(torch.arange(0, 256, 5, dtype=torch.uint8)).to(dtype)
    log_std = torch.full_like(grey, math.log(std), requires_grad=True)
    found = discretized_gaussian_log_likelihood(grey, torch.full_like(grey, mean), log_std)
    expected = []
    with mpmath.workdps(60):
        for value in grey.tolist():
            lower, upper = ((value - mpmath.mpf(mean) + mpmath.mpf(side) / 255) / std for side in (-1, 1))
            if lower > 0:
                lower, upper = -upper, -lower
            if value == 1:  # the bins of both ends reach to infinity
                p = mpmath.erfc((mpmath.mpf(254) / 255 - mean) / std / mpmath.sqrt(2)) / 2
            elif value == -1:
                p = mpmath.erfc((mpmath.mpf(254) / 255 + mean) / std / mpmath.sqrt(2)) / 2
            else:
                p = (mpmath.erfc(-upper / mpmath.sqrt(2)) - mpmath.erfc(-lower / mpmath.sqrt(2))) / 2
            expected.append(float(mpmath.log(p)))
    torch.testing.assert_close(found.detach(), torch.tensor(expected, dtype=dtype), rtol=rtol, atol=rtol)
    found.sum().backward()
    assert log_std.grad.isfinite().all()


def test_the_bound_of_gaussian_data_is_the_closed_form():
    diffusion, network, pictures = gaussian_case(64)
    bound = variational_bound(network, diffusion, pictures, range(64), make_strata(40, 39), CPU)
    decoder, terms, prior = closed_form(diffusion, 0.1, 0.3)
    assert bound.decoder.mean().item() == pytest.approx(decoder, rel=0.01)
    torch.testing.assert_close(bound.terms.mean(dim=0), torch.tensor(terms, dtype=torch.double), rtol=0.04, atol=1e-5)
    assert bound.prior.mean().item() == pytest.approx(prior, rel=0.03)
    total = bound.totals().mean().item()
    assert total == pytest.approx(decoder + sum(terms) + prior, rel=0.005)
    entropy = 0.5 * math.log2(2 * math.pi * math.e * 0.3**2) - math.log2(2 / 255)
    finer = build_diffusion(timestep_num=1000, beta_schedule="cosine")
    decoder, terms, prior = closed_form(finer, 0.1, 0.3)
    assert entropy < decoder + sum(terms) + prior < total  # a bound, and the nearer the more steps there are


def test_few_timesteps_estimate_the_bound_without_bias():
    diffusion, network, pictures = gaussian_case(400)
    decoder, terms, prior = closed_form(diffusion, 0.1, 0.3)
    for count in (2, 8):
        totals = variational_bound(network, diffusion, pictures, range(400), make_strata(40, count), CPU).totals()
        error = totals.std().item() / math.sqrt(400)
        assert abs(totals.mean().item() - decoder - sum(terms) - prior) < 4 * error + 0.005
    alone = variational_bound(network, diffusion, pictures[7:8], range(7, 8), make_strata(40, 8), CPU).totals()
    torch.testing.assert_close(alone, totals[7:8], rtol=1e-5, atol=1e-5)  # a picture's draws are its own


def test_the_area_below_the_density_over_log_t_is_what_the_strata_add():
    strata = make_strata(1000, 9)
    bound = Bound(torch.zeros(2), torch.rand(2, 9), torch.zeros(2), strata)
    octaves = torch.tensor([math.log2(stratum.stop / stratum.start) for stratum in strata])
    assert octaves.sum().item() == pytest.approx(math.log2(1000))
    torch.testing.assert_close((bound.density() * octaves).sum(dim=1), bound.totals())


@pytest.mark.parametrize("fraction, like", [(-1.0, "fixed_small"), (1.0, "fixed_large")])
def test_a_learned_variance_is_read_from_the_second_half_of_the_channels(fraction, like):
    """At -1 it is the posterior's, at 1 the jump's: then the bound is that of the fixed variance."""
    diffusion, network, pictures = gaussian_case(4, "learned")
    fixed, fixed_network, _ = gaussian_case(4, like)

    def learned(x_t, t):
        noise = GaussianOracle(fixed, 0.1, 0.3)(x_t, t)
        return torch.cat([noise, torch.full_like(noise, fraction)], dim=1)

    strata = make_strata(40, 39)
    found = variational_bound(learned, diffusion, pictures, range(4), strata, CPU)
    expected = variational_bound(fixed_network, fixed, pictures, range(4), strata, CPU)
    torch.testing.assert_close(found.terms, expected.terms, rtol=1e-4, atol=1e-5)


def test_likelihood_leaves_a_record_and_a_plot(tmp_path):
    output = done(run("test_solver.py", "--model_path", "checkpoints/mnist_mini.safetensors", "--test_mode", "likelihood", "--sample_num", 3,
                      "--likelihood_steps", 6, "--save_dir", tmp_path))  # fmt: skip
    assert files(tmp_path) == ["mnist_mini_likelihood.json", "mnist_mini_likelihood.png"]
    record = json.loads((tmp_path / "mnist_mini_likelihood.json").read_text())
    found = record["bits_per_dimension"]
    assert (
        found["mean"] == pytest.approx(found["decoder"] + found["divergences"] + found["prior"]) and found["prior"] > 0
    )
    assert sum(found["contributions"]) == pytest.approx(found["divergences"])  # each stratum by its width
    assert record["protocol"]["split"] == "test" and record["protocol"]["timesteps_a_picture"] == 6
    assert "6 of them, drawn by strata" in output and "bits a dimension: 3 pictures of the test split" in output


def test_more_pictures_than_there_are_is_refused(tmp_path):
    refused(run("test_solver.py", "--model_path", "checkpoints/mnist_mini.safetensors", "--test_mode", "likelihood", "--sample_num", 1001,
                "--save_dir", tmp_path), "--sample_num 1001", "there are 1,000 pictures in the test split")  # fmt: skip


def test_another_request_keeps_what_the_one_before_it_found(tmp_path):
    arguments = ["test_solver.py", "--model_path", "checkpoints/mnist_mini.safetensors", "--test_mode", "likelihood", "--sample_num", 2,
                 "--likelihood_steps", 3, "--save_dir", tmp_path]  # fmt: skip
    first = done(run(*arguments))
    assert "Kept:" not in first and "Kept:" not in done(run(*arguments))  # the same again takes its place
    record = (tmp_path / "mnist_mini_likelihood.json").read_bytes()
    assert f"Kept:    {tmp_path}/mnist_mini_likelihood.1.json" in done(run(*arguments, "--seed", 5))
    assert (tmp_path / "mnist_mini_likelihood.1.json").read_bytes() == record
    assert json.loads((tmp_path / "mnist_mini_likelihood.json").read_text())["protocol"]["seed"] == 5
