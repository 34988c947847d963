"""Drawing by seeds, the frames of a denoising, interpolation and reconstruction."""

import math

import pytest
import torch

from diffusion import GaussianDiffusion, SampleInfo, make_betas
from sampling.drawing import Frames, batches_of, draw, progress_moments
from sampling.interpolation import changes, interpolate, lerp, pick, reconstruct, slerp
from tests.oracles import FiniteOracle, GaussianOracle
from utils.seeds import generator

CPU = torch.device("cpu")


def diffusion_and_network():
    diffusion = GaussianDiffusion(make_betas("cosine", 1000))
    return diffusion, lambda x, t: torch.tanh(x + torch.sin(t.float() / 50).view(-1, 1, 1, 1))


@pytest.mark.parametrize("text", ["DDPM_20_0p0", "DDIM_20_0p0", "DDIM_20_1p0"])
def test_one_picture_one_seed_whatever_the_batch(text):
    diffusion, network = diffusion_and_network()
    info = SampleInfo.parse(text)
    together = draw(network, diffusion, info, range(10, 18), (1, 4, 4), CPU)
    for i in range(8):
        assert torch.equal(together[i : i + 1], draw(network, diffusion, info, [10 + i], (1, 4, 4), CPU))


@pytest.mark.parametrize("steps, columns", [(1, 5), (2, 16), (5, 16), (50, 16), (1000, 16)])
def test_frames_are_kept_and_no_others(steps, columns):
    diffusion, network = diffusion_and_network()
    info = SampleInfo("DDIM", steps, 0.0)
    moments = progress_moments(diffusion, info, columns)
    assert moments[0] == 0 and moments[-1] == steps and len(moments) == min(columns, steps + 1)
    frames = Frames(moments, count=3)
    for seeds in batches_of(range(5), 2):  # three batches, of which the pictures 0, 1 and 2 are shown
        frames.finish(draw(network, diffusion, info, seeds, (1, 4, 4), CPU, frames))
    kept = frames.pictures()
    assert len(kept) == len(moments)
    assert all(moment.shape == (3, 1, 4, 4) and moment.dtype == torch.uint8 for moment in kept)
    assert torch.equal(kept[-1], draw(network, diffusion, info, range(3), (1, 4, 4), CPU))


@pytest.mark.parametrize("schedule", ["cosine", "linear", "sigmoid"])
@pytest.mark.parametrize("text", ["DDIM_1000_0p0", "DPMPP_200_0p0_logsnr", "DDIM_200_0p0_quad"])
def test_from_each_moment_to_the_next_the_picture_changes_by_as_much(schedule, text):
    """Of x_t = signal x_0 + sigma noise, with a known x_0 and noise of the same sigma; half again as much at the most."""
    diffusion, info = GaussianDiffusion(make_betas(schedule, 1000)), SampleInfo.parse(text)
    moments = progress_moments(diffusion, info, 16)
    timesteps = [t for t, _ in diffusion.timestep_pairs(info.steps, info.spacing)] + [-1]
    x_0, noise = torch.randn(2, 4, 1, 8, 8, generator=generator("cpu", 0))
    states = [diffusion.q_sample(x_0, t, noise) if t >= 0 else x_0 for t in (timesteps[index] for index in moments)]
    changes = torch.stack(states).diff(dim=0).square().mean(dim=(1, 2, 3, 4)).sqrt()
    assert len(moments) >= 14 and changes.max() < 1.5 * changes.mean(), changes


@pytest.mark.parametrize(
    "mode, text",
    [("lerp", "DDPM_50_0p0"), ("slerp", "DDPM_50_0p0"), ("slerp", "UNIPC_10_0p0"), ("ddim", "DDIM_50_0p0")],
)
def test_interpolation_ends_near_the_real_pictures_and_each_pair_has_its_seed(mode, text):
    """With an exact denoiser of two pictures, both ends come back, and each pair depends on its own seed alone."""
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), objective="pred_v")
    members = torch.sign(torch.randn(2, 1, 8, 8, generator=generator("cpu", 0)))
    pictures = ((members + 1) * 127.5).to(torch.uint8)
    first, second = pictures[[0, 1, 0]], pictures[[1, 0, 1]]
    common = {"mode": mode, "coefficients": [0.0, 0.5, 1.0], "noise_steps": 500, "device": CPU}
    info, calls = SampleInfo.parse(text), []
    arguments = (FiniteOracle(diffusion, members), diffusion, info)
    found = interpolate(*arguments, first, second, seeds=[3, 4, 5], batch_size=4, advance=calls.append, **common)
    assert found.shape == (3, 3, 1, 8, 8) and found.dtype == torch.uint8
    assert (found[0].int() - first.int()).abs().max() <= 1 and (found[2].int() - second.int()).abs().max() <= 1
    assert sum(calls) == (9 + 6 * (mode == "ddim")) * info.steps // 2
    alone = interpolate(*arguments, first[1:2], second[1:2], seeds=[4], batch_size=1, advance=calls.append, **common)
    assert torch.equal(found[:, 1:2], alone)


def test_what_is_mixed_is_what_each_mode_says():
    """A network that says v = 0 makes each jump a known multiple: x_T is found again in the picture."""
    diffusion = GaussianDiffusion(make_betas("linear", 1000), clip_denoised=False, objective="pred_x0")
    first, second = (torch.full((1, 1, 32, 32), value, dtype=torch.uint8) for value in (60, 200))
    seen = {}

    def network_of(mode):
        def network(x_t, t):
            seen.setdefault(mode, []).append(x_t)
            return torch.zeros_like(x_t)

        return network

    for mode in ("lerp", "slerp"):
        interpolate(network_of(mode), diffusion, SampleInfo("DDIM", 1, 0.0), first, second, mode=mode, seeds=[0],
                    coefficients=[0.0, 0.5, 1.0], noise_steps=700, batch_size=3, device=CPU, advance=lambda n: None)  # fmt: skip
    signal, sigma = diffusion.alpha_bar(699) ** 0.5, (1 - diffusion.alpha_bar(699)) ** 0.5
    for mode, half_way in (("lerp", 0.5**0.5), ("slerp", 1.0)):
        x_t = seen[mode][0]
        for i, (c, expected) in enumerate(((0.0, 1.0), (0.5, half_way), (1.0, 1.0))):
            picture = (60 + 140 * c) / 127.5 - 1
            noise = (x_t[i] - signal * picture) / sigma
            assert abs(noise.std() - expected) < 0.05 and abs(noise.mean()) < 0.1, (mode, c)


def test_slerp_is_the_great_circle():
    a, b = torch.tensor([[1.0, 0.0]]).view(1, 1, 1, 2), torch.tensor([[0.0, 2.0]]).view(1, 1, 1, 2)
    c = torch.tensor(1 / 3).view(1, 1, 1, 1)
    expected = torch.tensor([math.cos(math.pi / 6), 2 * math.sin(math.pi / 6)]).view(1, 1, 1, 2)
    torch.testing.assert_close(slerp(a, b, c), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(slerp(a, a, c), a)
    torch.testing.assert_close(lerp(a, b, c), 2 / 3 * a + 1 / 3 * b)


def test_changes_are_root_mean_squares_of_neighbours():
    steps = torch.tensor([0, 51, 51, 255], dtype=torch.uint8).view(4, 1, 1, 1, 1).expand(4, 2, 3, 2, 2)
    torch.testing.assert_close(changes(steps), torch.tensor([[0.2, 0.2], [0.0, 0.0], [0.8, 0.8]]))


def test_reconstruction_finds_the_pictures_again():
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), objective="pred_v")
    pictures = (torch.rand(5, 1, 4, 4, generator=generator("cpu", 1)) * 255).to(torch.uint8)
    network, calls = GaussianOracle(diffusion, 0.0, 0.5), []
    errors = []
    for steps in (10, 50, 250):
        again, latents = reconstruct(
            network, diffusion, SampleInfo("DDIM", steps, 0.0), pictures, batch_size=2, device=CPU, advance=calls.append
        )
        errors.append((again.float() - pictures.float()).square().mean().item())
        assert again.dtype == torch.uint8 and latents.shape == again.shape
    assert errors[0] > 2 * errors[1] > 4 * errors[2], errors
    assert sum(calls) == 2 * 5 * (10 + 50 + 250)


def test_picks_are_different_pictures_and_follow_from_the_seed():
    first, second = pick(3, range(50), 2)
    assert (first != second).all() and {*first.tolist()} == {0, 1, 2}
    assert torch.equal(pick(3, [7], 2)[:, 0], torch.stack([first[7], second[7]]))
