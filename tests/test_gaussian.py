import pytest
import torch

from diffusion import GaussianDiffusion, make_betas
from diffusion.gaussian import LOSS_TYPES, OBJECTIVES

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


def test_fixed_large_is_the_beta_of_the_jump_and_nothing_at_the_end():
    betas = make_betas("cosine", 1000)
    diffusion = GaussianDiffusion(betas, variance="fixed_large")
    x = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(diffusion.posterior(x, x, 500, 499)[1], betas[500], rtol=1e-9, atol=0)
    torch.testing.assert_close(
        diffusion.posterior(x, x, 501, 499)[1], 1 - (1 - betas[500]) * (1 - betas[501]), rtol=1e-9, atol=0
    )
    assert diffusion.posterior(x, x, 0, -1)[1] == 0
    assert (diffusion.posterior(x, x, torch.tensor([3, 4]), torch.tensor([-1, -1]))[1] == 0).all()


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_losses_are_distances_of_each_picture(loss_type, draws):
    x_0, noise, t = draws
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), loss_type=loss_type)
    losses = diffusion.training_losses(lambda x_t, t: torch.zeros_like(x_t), x_0, t, noise)
    assert losses.shape == (6,)
    expected = noise.abs() if loss_type == "l1" else noise**2
    torch.testing.assert_close(losses, expected.mean(dim=(1, 2, 3)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_network_is_shown_x_t_and_t_and_a_perfect_one_loses_nothing(objective, draws):
    x_0, noise, t = draws
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), objective=objective)

    def perfect(x_t, times):
        torch.testing.assert_close(x_t, diffusion.q_sample(x_0, t, noise), rtol=0, atol=0)
        assert torch.equal(times, t)
        return diffusion.target(x_0, t, noise)

    assert diffusion.training_losses(perfect, x_0, t, noise).abs().max() == 0


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
        ({"variance": "large"}, "variance 'large'.*fixed_small, fixed_large"),
        ({"betas": torch.tensor([0.1, 1.0])}, "betas"),
        ({"betas": torch.tensor([[0.1]])}, "betas"),
    ],
)
def test_unknown_choices_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        GaussianDiffusion(**({"betas": make_betas("linear", 10)} | arguments))
