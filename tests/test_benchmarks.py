"""The measuring programs' own arithmetic."""

import torch

from benchmarks.digit_confidence import two_sample_test


def test_two_samples_of_one_distribution_cannot_be_told_apart_and_of_two_can():
    torch.manual_seed(0)
    a, b = torch.randn(150, 8), torch.randn(100, 8)
    mmd, share = two_sample_test(a, b)
    assert share > 0.05
    far, none = two_sample_test(a, b + 0.5)
    assert far > mmd and none < 0.01
    kernel = (torch.cat([a, b]) @ torch.cat([a, b]).T / 8 + 1).double() ** 3
    kernel.fill_diagonal_(0)
    direct = (
        kernel[:150, :150].sum() / (150 * 149) + kernel[150:, 150:].sum() / (100 * 99) - 2 * kernel[:150, 150:].mean()
    )
    torch.testing.assert_close(mmd, direct.item(), rtol=1e-4, atol=1e-6)
