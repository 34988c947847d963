"""What is done ahead, in larger batches or not at all, so that a GPU does not wait: the pictures stay what they are."""

from types import SimpleNamespace

import pytest
import torch

from diffusion import SampleInfo, build_diffusion, sample
from sampling import memory
from sampling.memory import default_batch
from utils.seeds import PictureNoise, generator


@pytest.mark.parametrize("seeds", [range(3), range(40, 41)])
def test_noise_that_is_drawn_ahead_is_the_same(seeds):
    x = torch.empty(len(seeds), 3, 5, 4)
    ahead, plain = PictureNoise(seeds, ahead=True), PictureNoise(seeds, ahead=False)
    kept = []
    for _ in range(5):
        kept.append((ahead(x), plain(x)))  # kept: what is drawn ahead must not be written into what was given away
    for one, other in kept:
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    expected = torch.stack([torch.randn(3, 5, 4, generator=generator("cpu", "picture", seed)) for seed in seeds])
    torch.testing.assert_close(kept[0][0], expected, rtol=0, atol=0)


def test_nothing_is_drawn_ahead_for_a_sampler_that_adds_no_noise(monkeypatch):
    drawn = []
    real = PictureNoise._draw
    monkeypatch.setattr(PictureNoise, "_draw", lambda self, *how: drawn.append(how) or real(self, *how))
    noise = PictureNoise(range(2), ahead=True)
    noise(torch.empty(2, 1, 4, 4))
    assert len(drawn) == 1 and noise._next is None


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_the_spread_of_a_step_is_the_number_that_its_tensor_would_be(variance):
    diffusion = build_diffusion(timestep_num=50, beta_schedule="cosine", variance=variance)
    x = torch.randn(1, 1, 2, 2)
    for t, t_prev in [(49, 40), (40, 12), (12, 3), (3, 0), (1, 0)]:
        std = diffusion.step_std(x, t, t_prev)
        assert isinstance(std, float) and std == (0.5 * diffusion.log_variance(x, t, t_prev)).exp().item()


def test_ddpm_asks_for_no_variance_that_it_does_not_use(monkeypatch):
    diffusion = build_diffusion(timestep_num=50, beta_schedule="cosine")
    monkeypatch.setattr(diffusion, "posterior", lambda *_: pytest.fail("the variance was computed, too"))
    sample(lambda x, t: 0.5 * x, diffusion, torch.randn(1, 1, 4, 4), SampleInfo("DDPM", 5, 0.0))


@pytest.mark.parametrize(
    "free, count, processes, expected",
    [(2**30, None, 1, 512), (2**40, None, 1, 1024), (2**20, None, 1, 64), (2**40, 800, 8, 100), (2**40, 3, 8, 1)],
)
def test_a_gpus_memory_says_how_many_pictures_are_drawn_at_a_time(monkeypatch, free, count, processes, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    monkeypatch.setattr(memory, "_bytes_a_picture", lambda trained: 2**20)
    trained = SimpleNamespace(device=torch.device("cuda"), batch_size=64)
    assert default_batch(trained, processes, count) == expected
    trained = SimpleNamespace(device=torch.device("cpu"), batch_size=64)
    assert default_batch(trained, processes, count) == 64
