"""EDM's objective, the loss of clipped estimates, and timesteps of which a share is uniform."""

import math

import pytest
import torch

from diffusion import GaussianDiffusion, SampleInfo, draw_timesteps, make_betas, sample
from diffusion.objectives import output_of, read_output
from diffusion.schedules import zero_terminal_snr_betas
from tests.diffusion.test_samplers import normal
from tests.oracles import GaussianOracle
from utils.config import load_settings
from utils.errors import RequestError

SHAPE = (4, 1, 3, 3)
BETAS = make_betas("cosine", 1000)


def pictures(seed=0):
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("sigma_data", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("t", [0, 20, 500, 999])
def test_pred_edm_is_edm_s_preconditioning(sigma_data, t):
    """Karras et al. 2022, Table 1, in their variables: x = x_t / signal, sigma = sqrt((1 - ab) / ab), D = c_skip x + c_out F."""
    diffusion = GaussianDiffusion(BETAS, objective="pred_edm", sigma_data=sigma_data, clip_denoised=False)
    ab = diffusion.alpha_bar(t)
    x_t, output = normal(*SHAPE), normal(*SHAPE, seed=1)
    x, sigma = x_t / ab**0.5, ((1 - ab) / ab) ** 0.5
    c_skip = sigma_data**2 / (sigma**2 + sigma_data**2)
    c_out = sigma * sigma_data / (sigma**2 + sigma_data**2) ** 0.5
    found = diffusion.predict(output, x_t, t)
    torch.testing.assert_close(found.x_0, c_skip * x + c_out * output, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(diffusion.q_sample(found.x_0, t, found.noise), x_t, rtol=1e-9, atol=1e-9)


def test_its_target_has_unit_variance_for_pixels_of_that_standard_deviation():
    diffusion = GaussianDiffusion(BETAS, objective="pred_edm", sigma_data=0.4)
    x_0, noise = 0.4 * normal(1, 1, 400, 400), normal(1, 1, 400, 400, seed=1)
    for t in (0, 100, 500, 999):
        assert diffusion.target(x_0, t, noise).std().item() == pytest.approx(1, abs=0.01)  # four standard errors: 0.007


def test_with_a_sigma_data_of_1_it_is_minus_v():
    x_0, noise = pictures(), normal(*SHAPE)
    signal, sigma = math.sqrt(0.3), math.sqrt(0.7)
    v = output_of("pred_v", x_0, noise, signal, sigma, 1.0)
    torch.testing.assert_close(output_of("pred_edm", x_0, noise, signal, sigma, 1.0), -v, rtol=1e-12, atol=1e-12)
    for found, expected in zip(
        read_output("pred_edm", -v, x_0, signal, sigma, 1.0), read_output("pred_v", v, x_0, signal, sigma, 1.0)
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_it_draws_gaussian_data_at_zero_terminal_snr_too():
    for betas in (BETAS, zero_terminal_snr_betas(BETAS)):
        diffusion = GaussianDiffusion(betas, objective="pred_edm", sigma_data=0.3, clip_denoised=False)
        x_T = normal(200, 1, 1, 1)
        found = sample(GaussianOracle(diffusion, 0.2, 0.5), diffusion, x_T, SampleInfo("DDIM", 200, 0.0))
        torch.testing.assert_close(found, 0.2 + 0.5 * x_T, rtol=0, atol=0.05)


@pytest.mark.parametrize("objective", ["pred_x0", "pred_edm"])
def test_overshooting_black_or_white_is_no_error_and_has_no_gradient(objective):
    """By hand, pixel by pixel: (x_0, estimate) -> squared error."""
    cases = [(-1.0, -1.5, 0.0), (-1.0, -0.5, 0.25), (1.0, 1.5, 0.0), (1.0, 0.5, 0.25), (0.97, 1.5, 0.0),
             (0.97, 0.47, 0.25), (0.9, 1.4, 0.25), (-0.97, -1.47, 0.25), (-1.0, 1.0, 4.0), (0.0, 2.0, 4.0)]  # fmt: skip
    x_0, estimate, expected = (torch.tensor(column, dtype=torch.float64).view(-1, 1, 1, 1) for column in zip(*cases))
    options = {"objective": objective, "loss_type": "l2", "loss_of_clipped": True, "clipped_above": 0.97}
    diffusion = GaussianDiffusion(BETAS, **options)
    t, noise = torch.full((len(cases),), 300), normal(len(cases), 1, 1, 1)
    x_t = diffusion.q_sample(x_0, t, noise)
    signal, sigma = diffusion.alpha_bar(300) ** 0.5, (1 - diffusion.alpha_bar(300)) ** 0.5
    output = diffusion.target(estimate, 300, (x_t - signal * estimate) / sigma).requires_grad_()
    losses = diffusion.training_losses(lambda x_t, t: output, x_0, t, noise)
    torch.testing.assert_close(losses.detach(), expected.flatten(), rtol=1e-9, atol=1e-12)
    losses.sum().backward()
    assert torch.equal(output.grad.flatten() == 0, expected.flatten() == 0)


def test_without_it_nothing_changes_and_a_clipped_above_of_1_is_white_alone():
    x_0, estimate = torch.tensor([0.99, 1.0]).view(2, 1, 1, 1), torch.full((2, 1, 1, 1), 1.5)
    for loss_of_clipped, expected in ((False, [0.51**2, 0.25]), (True, [0.51**2, 0.0])):
        diffusion = GaussianDiffusion(
            BETAS, objective="pred_x0", loss_type="l2", loss_of_clipped=loss_of_clipped
        )
        losses = diffusion.training_losses(lambda x_t, t: estimate, x_0, torch.tensor([5, 5]), torch.zeros(2, 1, 1, 1))
        torch.testing.assert_close(losses, torch.tensor(expected))


@pytest.mark.parametrize(
    "override, words",
    [
        (["diffusion.objective=pred_noise"], "loss_of_clipped needs an objective of pred_x0 or pred_edm, not pred_noise"),
        (["diffusion.clip_denoised=false"], "needs diffusion.clip_denoised=true"),
        (["diffusion.clip_denoised=dynamic"], "needs diffusion.clip_denoised=true"),
        (["diffusion.clipped_above=0"], "clipped_above"),
        (["diffusion.sigma_data=0"], "sigma_data"),
        (["train.timestep_uniform_share=1.1"], "timestep_uniform_share"),
    ],
)
def test_settings_that_make_no_sense(override, words):
    with pytest.raises(RequestError, match=words):
        load_settings("config.yaml", "Mnist_Mini", ["diffusion.loss_of_clipped=true", "diffusion.objective=pred_x0", *override])


def test_a_share_of_the_timesteps_is_uniform():
    def drawn(share, count=40_000):
        return draw_timesteps(count, 1000, (5.0, 0.1), torch.Generator().manual_seed(0), share)

    # sigmoid(5) is 0.993: only what is drawn uniformly lies below 900.
    assert drawn(0.0).min() > 900
    below = (drawn(0.25) < 900).double().mean().item()
    assert below == pytest.approx(0.25 * 0.9, abs=0.0085)  # four standard errors
    assert (drawn(1.0).double().mean().item()) == pytest.approx(499.5, abs=6)
    assert torch.equal(drawn(0.0), draw_timesteps(40_000, 1000, (5.0, 0.1), torch.Generator().manual_seed(0)))
