"""Averages whose length is chosen after the training (Karras et al. 2024): profiles against integrals, sums against averages."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.benchmarks.test_side_by_side import result_of

pytest.importorskip("torch_fidelity")

from benchmarks.posthoc_ema import LENGTHS, PowerEMA, combination, gamma_of, profile_products  # noqa: E402


@pytest.mark.parametrize("gamma", [0.0, 1.0, 6.94, 16.97, 200.0])
def test_a_length_has_the_gamma_whose_profile_is_as_wide(gamma):
    """The standard deviation of p(tau) = (gamma + 1) tau^gamma on [0, 1]: moments (gamma + 1) / (gamma + 1 + k)."""
    first, second = ((gamma + 1) / (gamma + 1 + k) for k in (1, 2))
    assert gamma_of((second - first**2) ** 0.5) == pytest.approx(gamma, abs=1e-4)


def test_the_paper_s_gammas():
    assert [round(gamma_of(length), 2) for length in (0.05, 0.10)] == [16.97, 6.94]
    for length in (0.0, 0.29):
        with pytest.raises(ValueError, match="length"):
            gamma_of(length)


def test_products_of_profiles_are_their_integrals():
    tau = np.linspace(0, 5, 500_001)

    def profile(t, gamma):
        return np.where(tau <= t, (gamma + 1) * tau**gamma / t ** (gamma + 1), 0)

    for (t_a, gamma_a), (t_b, gamma_b) in [((5.0, 2.0), (3.0, 7.0)), ((2.0, 7.0), (4.0, 3.0)), ((3.0, 1.0), (3.0, 9.0))]:
        product = profile_products(np.array(t_a), np.array(gamma_a), np.array(t_b), np.array(gamma_b))
        assert product == pytest.approx(np.trapezoid(profile(t_a, gamma_a) * profile(t_b, gamma_b), tau), rel=1e-3)


def test_what_was_saved_gives_itself_back():
    times, gammas = np.array([4.0, 8.0, 4.0, 8.0]), np.array([7.0, 7.0, 17.0, 17.0])
    assert combination(times, gammas, 8.0, 17.0) == pytest.approx([0, 0, 0, 1], abs=1e-6)


def test_averages_of_other_lengths_are_those_that_were_not_kept():
    """A walk of 400 steps: what is put together afterwards lies within a fiftieth of the walk's size of the average itself."""
    wanted = (0.07, 0.14)
    model = nn.Linear(8, 8)
    kept = PowerEMA(model, [gamma_of(0.05), gamma_of(0.10)])
    direct = PowerEMA(model, [gamma_of(length) for length in wanted])
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 401):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn(p.shape, generator=generator))
        kept.update(model, step)
        direct.update(model, step)
        if step % 25 == 0:
            kept.save(step)
    for length, average in zip(wanted, direct.averages.values()):
        for found, exact in zip(kept.weights_of(length), average):
            torch.testing.assert_close(found, exact, rtol=0, atol=400**0.5 / 50)
    assert torch.equal(kept.weights_of(0.10)[0].round(decimals=3), list(kept.averages.values())[1][0].round(decimals=3))


@pytest.mark.slow
def test_posthoc_ema(tmp_path):
    options = ("--epochs", "0.1", "--trainings", "2", "--pictures", "70")
    found = result_of(tmp_path, "posthoc_ema", *options)
    assert [row["variant"] for row in found["rows"][1:]][: len(LENGTHS)] == [f"sigma_rel {x:g}" for x in LENGTHS]
    assert set(found["steps"].values()) == {22} and all(row["fid"] > 0 for row in found["rows"])
