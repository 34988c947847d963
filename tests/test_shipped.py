"""The checkpoint that ships: it draws clean digits with every sampler, few steps included."""

import numpy as np
import pytest
import torch

from datasets import load_images
from diffusion import SampleInfo, build_diffusion
from models import build_model
from utils.checkpoints import load_checkpoint
from utils.drawing import draw
from utils.untrusted import load_weights

PATH = "checkpoints/mnist_mini.safetensors"


@pytest.fixture(scope="module")
def shipped():
    checkpoint = load_checkpoint(PATH)
    model = build_model(**checkpoint.settings.model_arguments()).eval()
    load_weights(model, checkpoint.weights, PATH)
    return model, build_diffusion(**checkpoint.settings.diffusion.model_dump())


def unclean(pictures):
    """The mean grey value of the outermost four pixels: black in real digits, grey where noise is left."""
    pictures = np.asarray(pictures, dtype=float)
    return np.concatenate(
        [
            pictures[..., :4, :].ravel(),
            pictures[..., -4:, :].ravel(),
            pictures[..., :4].ravel(),
            pictures[..., -4:].ravel(),
        ]
    ).mean()


@pytest.mark.parametrize(
    "text, count",
    [("DDPM_50_0p0", 16), ("DDPM_1000_0p0", 2), ("DDIM_50_0p0", 16), ("DDIM_50_1p0", 16), ("DPMPP_20_0p0", 16), ("DPMPP_20_1p0", 16),
     ("HEUN_18_0p0", 16), ("UNIPC_10_0p0", 16), ("DDIM_20_0p0_quad", 16)],
)  # fmt: skip
def test_every_sampler_draws_clean_pictures(shipped, text, count):
    pictures = draw(*shipped, SampleInfo.parse(text), range(count), (1, 28, 28), torch.device("cpu"))
    assert unclean(pictures) < 6, unclean(pictures)
    ink = pictures.float().mean(dim=(1, 2, 3)) / 255
    assert ((ink > 0.03) & (ink < 0.35)).all(), ink  # something is written, and not everything


def test_the_measure_knows_real_digits_from_noise(shipped):
    settings = load_checkpoint(PATH).settings
    digits = load_images(**settings.data.model_dump(exclude={"horizontal_flip"}))[:500]
    assert unclean(digits) < 3
    noisy = shipped[1].q_sample(torch.from_numpy(np.array(digits)) / 127.5 - 1, 50, torch.randn(500, 1, 28, 28))
    assert unclean((noisy.clamp(-1, 1) + 1) * 127.5) > 6  # a veil of noise at a twentieth of the way


def test_fast_and_slow_samplers_agree_on_the_picture(shipped):
    """The ODE solvers follow the same path from the same noise: at enough steps they draw the same digits."""
    pictures = {
        text: draw(*shipped, SampleInfo.parse(text), range(8), (1, 28, 28), torch.device("cpu")).float() / 255
        for text in ("DDIM_250_0p0", "DPMPP_50_0p0", "UNIPC_50_0p0", "HEUN_50_0p0")
    }
    slow = pictures.pop("DDIM_250_0p0")
    for text, fast in pictures.items():
        assert (fast - slow).square().mean().sqrt() < 0.08, text


def test_it_is_small_enough_to_ship():
    import os

    assert os.path.getsize(PATH) <= 10_000_000
