"""What a network is shown: x_u and its time, on any schedule, without a sampler, a loss or guidance knowing of it."""

import pytest
import torch

from diffusion import SAMPLERS, Guidance, SampleInfo, build_diffusion, sample
from sampling.network import sampling_network, training_network
from tests.diffusion.test_samplers import normal
from tests.oracles import GaussianOracle
from utils.settings import DiffusionSettings

MEAN, STD = 0.2, 0.5
CLOSE = {"rtol": 0, "atol": 2e-5}  # the time is float32


def made(network_input, schedule="flow", **options):
    options = {"objective": "pred_flow", "loss_type": "l2", "clip_denoised": False, "timestep_num": 1000, **options}
    return build_diffusion(beta_schedule=schedule, network_input=network_input, **options)


def velocity(x_u, time):
    """The optimal velocity for pixels N(MEAN, STD^2), of x_u = (1 - u) x_0 + u noise at the time 1000 u."""
    u = (time.double() / 1000).view(-1, 1, 1, 1)
    gain = (1 - u) * STD**2 / ((1 - u) ** 2 * STD**2 + u**2)
    x_0 = MEAN + gain * (x_u - (1 - u) * MEAN)
    return (x_u - x_0) / u


@pytest.mark.parametrize("schedule", ["flow", "cosine"])
@pytest.mark.parametrize("method", SAMPLERS)
def test_every_sampler_draws_as_from_the_same_network_of_x_t(method, schedule):
    ours, plain = (made(shown, schedule) for shown in ("x_u", "x_t"))
    info, pictures = SampleInfo(method, 6, 0.0), []
    for network, diffusion in ((velocity, ours), (GaussianOracle(plain, MEAN, STD), plain)):
        noise = torch.Generator().manual_seed(1)
        asked = {"noise_like": lambda x, noise=noise: torch.randn(x.shape, generator=noise, dtype=x.dtype)}
        pictures.append(sample(sampling_network(network, diffusion), diffusion, normal(3, 1, 2, 2), info, **asked))
    torch.testing.assert_close(*pictures, **CLOSE)


def test_the_loss_and_the_shown_times():
    ours, plain = (made(shown, shift=3.0, zero_terminal_snr=True) for shown in ("x_u", "x_t"))
    x_0, noise, t = normal(4, 1, 2, 2), normal(4, 1, 2, 2, seed=1), torch.tensor([0, 250, 500, 999])
    seen = []

    def network(x_u, time):
        seen.append((x_u, time))
        return velocity(x_u, time)

    losses = ours.training_losses(training_network(network, ours), x_0, t, noise)
    expected = plain.training_losses(GaussianOracle(plain, MEAN, STD), x_0, t, noise)
    torch.testing.assert_close(losses, expected, **CLOSE)
    ((x_u, time),) = seen
    u = (t + 1).double() / 1000
    u = 3 * u / (1 + 2 * u)  # Esser et al. 2024, Eq. 23
    torch.testing.assert_close(time, (1000 * u).float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(x_u, (1 - u).view(-1, 1, 1, 1) * x_0 + u.view(-1, 1, 1, 1) * noise, rtol=0, atol=1e-12)


@pytest.mark.parametrize("number", [None, 300])
def test_guided_and_shown_its_estimate(number):
    """The estimate stands behind x_u as it is; both halves of guidance see the same; t may say that it is one for all."""
    diffusion, seen = made("x_u", self_condition=True), []

    def network(x_u, time, y):
        seen.append((x_u, time))
        return torch.zeros_like(x_u[:, :1])

    labels, x_t, t = torch.tensor([0, 1]), normal(2, 1, 2, 2), torch.tensor([300, 300])
    if number is not None:
        t.number = number
    wrapped = sampling_network(network, diffusion, labels=labels, num_classes=2, guidance=Guidance(2.0))
    estimate = diffusion.predict(wrapped(x_t, t), x_t, t).x_0.clamp(-1, 1)
    wrapped(x_t, t)
    for (x_u, time), shown in zip(seen, (torch.zeros_like(x_t), estimate), strict=True):
        torch.testing.assert_close(time, torch.full((4,), 301.0), rtol=1e-6, atol=0)
        scaled = x_t * (0.699**2 + 0.301**2) ** 0.5
        torch.testing.assert_close(x_u, torch.cat([torch.cat([scaled, shown], dim=1)] * 2), rtol=0, atol=1e-12)


def test_files_without_the_setting_are_as_they_were():
    assert DiffusionSettings().network_input == "x_t" and "network_input" not in DiffusionSettings().model_dump()
    diffusion, network = made("x_t"), object()
    assert sampling_network(network, diffusion) is network
    with pytest.raises(ValueError, match="network_input 'x_v' is not known; the known ones are x_t, x_u"):
        made("x_v")
