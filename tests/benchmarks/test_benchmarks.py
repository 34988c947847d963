"""The measuring programs' own arithmetic."""

import numpy as np
import torch

from benchmarks.digit_confidence import drawn, two_sample_test
from utils.pictures import save_png


def test_two_samples_of_one_distribution_cannot_be_told_apart_and_of_two_can():
    torch.manual_seed(0)
    a, b = torch.randn(150, 8), torch.randn(100, 8)
    mmd, p = two_sample_test(a, b)
    assert p > 0.05
    far, least = two_sample_test(a, b + 0.5)
    assert far > mmd and least == 1 / 1001  # no permutation has as much: never 0
    kernel = (torch.cat([a, b]) @ torch.cat([a, b]).T / 8 + 1).double() ** 3
    kernel.fill_diagonal_(0)
    direct = (
        kernel[:150, :150].sum() / (150 * 149) + kernel[150:, 150:].sum() / (100 * 99) - 2 * kernel[:150, 150:].mean()
    )
    torch.testing.assert_close(mmd, direct.item(), rtol=1e-4, atol=1e-6)


def test_pictures_of_the_same_seeds_are_swapped_within_a_seed():
    """What two samplers draw from one seed is nearly the same: divided at random, such sets look alike however they differ."""
    torch.manual_seed(0)
    picture = 3 * torch.randn(150, 8)
    changed = picture + 0.02 * torch.randn(150, 8) + 0.05
    assert two_sample_test(picture, changed)[1] > 0.9
    assert two_sample_test(picture, changed, paired=True)[1] < 0.01
    assert two_sample_test(picture, picture.clone(), paired=True)[1] == 1
    a, b = (picture + 0.5 * torch.randn(150, 8) for _ in range(2))
    assert two_sample_test(a, b, paired=True)[1] > 0.05


def test_a_folder_of_digits_and_a_cell_hold_the_same_pictures(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28), dtype=np.uint8)
    for seed, picture in enumerate(pictures):
        save_png(tmp_path / f"{seed:06d}.png", torch.from_numpy(picture))
    np.savez_compressed(tmp_path / "cell.npz", pictures=pictures, network_calls=20, seconds=1.0)
    np.testing.assert_array_equal(drawn(tmp_path), pictures)
    np.testing.assert_array_equal(drawn(tmp_path / "cell.npz"), pictures)
