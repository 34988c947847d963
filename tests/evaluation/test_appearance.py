"""What pictures look like, by figures of their pixels."""

import numpy as np
import pytest
import torch

from evaluation.appearance import appearance


def flat(*rgb, count=3, side=6):
    """Pictures of one colour."""
    return torch.tensor(rgb, dtype=torch.uint8).view(1, -1, 1, 1).expand(count, -1, side, side).clone()


def test_appearance_of_pictures_with_known_figures():
    red = appearance(flat(255, 51, 0))
    assert red == pytest.approx(
        {"red": 1, "green": 0.2, "blue": 0, "contrast": red["contrast"], "chroma": 1, "edges": 0, "grain": 0}
    )
    assert appearance(flat(102))["grey"] == pytest.approx(0.4) and appearance(flat(102))["contrast"] == pytest.approx(
        0, abs=1e-6
    )
    stripes = flat(0, side=8)
    stripes[..., ::2] = 255  # columns: every horizontal neighbour differs by 1, no vertical one does
    assert appearance(stripes)["edges"] == pytest.approx(0.5)
    edge = flat(0, side=8)
    edge[..., 4:] = 255
    assert appearance(edge)["grain"] == 0  # a straight edge is no grain
    speck = flat(0, count=1, side=10)
    speck[0, 0, 5, 5] = 255
    assert appearance(speck)["grain"] == pytest.approx(0.1)  # one of 100 pixels differs by 1 from the median


def test_noise_raises_the_grain_of_real_digits():
    digits = torch.from_numpy(np.load("datasets/assets/mnist_mini.npz")["images"][:50]).view(50, 1, 28, 28)
    noise = torch.randn(digits.shape, generator=torch.Generator().manual_seed(0))
    noisy = (digits.float() + 40 * noise).clamp(0, 255).byte()
    assert appearance(noisy)["grain"] > 1.3 * appearance(digits)["grain"]
