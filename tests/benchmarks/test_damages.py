"""The damages of benchmarks/damages.py: what they do to pictures, and to a set's figures."""

import numpy as np
import torch

from benchmarks.damages import DAMAGES, blurred, damage_rows, noisy


def test_blurring_leaves_what_16_pixels_can_show_and_takes_away_what_they_cannot():
    flat = torch.full((1, 3, 32, 32), 77, dtype=torch.uint8)
    assert torch.equal(blurred(flat), flat)
    checks = (torch.arange(32)[:, None] + torch.arange(32)).remainder(2).mul(255).byte().expand(1, 1, 32, 32)
    found = blurred(checks)
    assert found.dtype == torch.uint8 and found.shape == checks.shape
    assert found[..., 2:-2, 2:-2].float().sub(127.5).abs().max() < 2
    ramp = (8 * torch.arange(32)).byte().expand(1, 1, 32, 32)
    assert blurred(ramp)[..., 3:-3].sub(ramp[..., 3:-3].float()).abs().max() <= 1


def test_noise_is_of_so_many_grey_levels_and_the_same_each_time():
    grey = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    for std in (5, 10):
        noise = noisy(grey, std).float() - 128
        assert abs(noise.std().item() / std - 1) < 0.02 and abs(noise.mean().item()) < 0.2
    assert torch.equal(noisy(grey, 5), noisy(grey, 5)) and not torch.equal(noisy(grey, 5), noisy(grey, 5, seed=1))
    assert noisy(torch.zeros_like(grey), 10).max() < 100  # clipped, not wrapped round


def test_each_damage_takes_real_pictures_further_from_the_others(extractor, reference):
    some = reference.held_out_part(70, seed=0)
    others = reference.held_out_reference.part("some of them", np.arange(300))
    none, *damaged = damage_rows(some, others, extractor, seed=0)
    assert [row["damage"] for row in (none, *damaged)] == ["none", *DAMAGES]
    assert all(set(row) == {"damage", "fid", "kid", "precision", "recall"} for row in (none, *damaged))
    blur, five, ten = (row["fid"] for row in damaged)
    assert none["fid"] < five < ten and none["fid"] < blur
