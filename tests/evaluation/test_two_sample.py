"""The classifier two-sample test and the extrapolated FID: where the answer is known."""

import numpy as np
import pytest
import torch

from evaluation import two_sample
from evaluation.frechet import ReferenceRoot, fid_infinity
from evaluation.two_sample import LEAST, two_sample_test
from tests.features import DIGITS, two_point


@pytest.fixture(scope="module")
def digits():
    """Training and held-out digits, uint8."""
    return [torch.from_numpy(np.array(DIGITS.load(split).images)) for split in ("train", "test")]


def test_real_pictures_are_not_told_from_real_ones(digits):
    train, held_out = digits
    found = two_sample_test(train[:500], held_out)
    low, high = found.interval
    assert low < 0.5 < high and found.pictures == 500 and len(found.accuracies) == 3
    assert found.probability.shape == (500,)


def test_slightly_noisy_pictures_are_told_and_the_noisiest_stand_first(digits):
    train, held_out = digits
    noise = torch.randn(train[:300].shape, generator=torch.Generator().manual_seed(0))
    noise[200:] = 0  # the last hundred are real
    noisy = (train[:300].float() + 12 * noise).clamp(0, 255).byte()
    found = two_sample_test(noisy, held_out)
    assert found.accuracy > 0.75 and found.interval[0] > 0.7
    assert found.surest(50).max() < 200
    all_noisy = two_sample_test(noisy[:200], held_out)
    assert all_noisy.accuracy > 0.97


@pytest.fixture
def one_split(monkeypatch):
    """A third of the time, where the interval over the splits is not asked for."""
    monkeypatch.setattr(two_sample, "SPLITS", 1)


def test_it_is_the_same_every_time_and_draws_no_number_of_others(digits, one_split):
    train, held_out = digits
    torch.manual_seed(1)
    first = two_sample_test(train[:20], held_out, seed=3)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)
    again = two_sample_test(train[:20], held_out, seed=3)
    assert first.accuracies == again.accuracies
    torch.testing.assert_close(first.probability, again.probability, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 11), (3, 40, 40)])
def test_any_size_and_colour_will_do(shape, one_split):
    pictures = torch.randint(0, 256, (2, LEAST, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert two_sample_test(pictures[0] // 4, pictures[1]).accuracy > 0.9  # darker by three quarters
    assert two_sample_test(pictures[0][:-1], pictures[1]) is None


@pytest.mark.parametrize("shift, scale", [(0.0, 1.0), (0.1, 1.1)])
def test_the_extrapolated_fid_of_gaussian_features_is_the_closed_form(shift, scale):
    """D (shift^2 + (scale - 1)^2), for N(shift, scale^2) against N(0, 1) in 64 dimensions; FID itself is beyond by 1."""
    reference = two_point(np.zeros(64), np.eye(64)).features
    exact = 64 * (shift**2 + (scale - 1) ** 2)
    rng = torch.Generator().manual_seed(0)
    sets = [shift + scale * torch.randn(1000, 64, generator=rng) for _ in range(8)]
    found = [fid_infinity(drawn, reference, seed=0) for drawn in sets]
    plain = [ReferenceRoot(reference).distance(drawn.double()) for drawn in sets]
    assert np.mean(found) == pytest.approx(exact, abs=0.12) and np.mean(plain) > exact + 0.8
    few, many = (fid_infinity(sets[0][:count], reference) for count in (600, 1000))
    assert few == pytest.approx(many, abs=0.4)  # it does not grow with the number of pictures


def test_too_few_pictures_for_a_line_give_no_extrapolation():
    reference = two_point(np.zeros(64), np.eye(64)).features
    assert fid_infinity(torch.randn(511, 64), reference) is None
    assert fid_infinity(torch.randn(512, 64), reference) is not None
