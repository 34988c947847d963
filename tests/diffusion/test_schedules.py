import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion import make_betas, pairs_from, timestep_pairs
from diffusion.schedules import SCHEDULES, half_log_snr, zero_terminal_snr_betas


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", [1, 2, 10, 100, 1000, 4000])
def test_alpha_bar_falls_strictly_within_0_and_1(name, T):
    betas = make_betas(name, T)
    alpha_bar = torch.cumprod(1 - betas, dim=0)
    assert betas.dtype == torch.float64 and betas.shape == (T,)
    assert ((alpha_bar > 0) & (alpha_bar < 1)).all()
    assert (alpha_bar.diff() < 0).all()


def test_linear_is_that_of_ddpm():
    betas = make_betas("linear", 1000)
    assert betas[0] == 1e-4 and betas[-1] == 0.02
    torch.testing.assert_close(
        betas.diff(), torch.full((999,), (0.02 - 1e-4) / 999, dtype=torch.float64), rtol=1e-9, atol=0
    )


def test_linear_keeps_its_total_noise_for_other_T():
    totals = [make_betas("linear", T).sum() for T in (100, 1000, 4000)]
    torch.testing.assert_close(torch.stack(totals), totals[1].expand(3), rtol=1e-9, atol=0)


def test_cosine_is_that_of_improved_ddpm():
    T, s = 1000, 0.008
    alpha_bar = torch.cumprod(1 - make_betas("cosine", T), dim=0)
    f = [math.cos((t / T + s) / (1 + s) * math.pi / 2) ** 2 for t in range(T + 1)]
    expected = torch.tensor([f[t] / f[0] for t in range(1, T)], dtype=torch.float64)
    torch.testing.assert_close(alpha_bar[:-1], expected, rtol=1e-9, atol=0)  # the last beta is clipped
    assert make_betas("cosine", T)[-1] == 0.999


def test_options_reach_the_schedule_and_unknown_ones_do_not():
    assert make_betas("linear", 1000, beta_end=0.03)[-1] == 0.03
    assert not torch.equal(make_betas("cosine", 10, offset=0.1), make_betas("cosine", 10))
    with pytest.raises(TypeError, match="beta_end"):
        make_betas("cosine", 10, beta_end=0.03)


@pytest.mark.parametrize("name, T, words", [("square", 10, "square.*linear.*cosine"), ("linear", 0, "timestep_num.*0")])
def test_bad_schedules_are_refused(name, T, words):
    with pytest.raises(ValueError, match=words):
        make_betas(name, T)


def check_pairs(T, S):
    pairs = timestep_pairs(T, S)
    times = [t for t, _ in pairs]
    assert len(pairs) == S
    assert times[0] == T - 1 and pairs[-1][1] == -1
    assert all(t_prev == following for (_, t_prev), following in zip(pairs, times[1:]))
    assert all(t > t_prev for t, t_prev in pairs)
    jumps = [t - t_prev for t, t_prev in pairs]
    assert max(jumps) - min(jumps) <= 1  # equal but for rounding


@pytest.mark.parametrize("S", range(1, 21))
def test_pairs_for_every_S_at_T_20(S):
    check_pairs(20, S)


@pytest.mark.parametrize("S", [1, 2, 7, 50, 300, 333, 999, 1000])
def test_pairs_at_T_1000(S):
    check_pairs(1000, S)


def test_pairs_of_T_and_of_a_divisor():
    assert timestep_pairs(4, 4) == [(3, 2), (2, 1), (1, 0), (0, -1)]
    assert timestep_pairs(1000, 4) == [(999, 749), (749, 499), (499, 249), (249, -1)]


@pytest.mark.parametrize("S", [0, -1, 1001])
def test_too_many_or_no_steps_are_refused(S):
    with pytest.raises(ValueError, match=f"1 to the 1000.*{S}"):
        timestep_pairs(1000, S)


@pytest.mark.parametrize("spacing", ["quad", "logsnr", "karras"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_spacing_for_any_T_and_S(spacing, schedule, data):
    T = data.draw(st.integers(1, 300))
    S = data.draw(st.integers(1, T))
    alpha_bar = torch.cumprod(1 - make_betas(schedule, T), dim=0)
    assert torch.isfinite(alpha_bar).all() and (alpha_bar.diff() < 0).all() and 0 < alpha_bar[-1] <= alpha_bar[0] < 1
    pairs = timestep_pairs(T, S, spacing, half_log_snr(alpha_bar).tolist())
    times = [t for t, _ in pairs]
    assert len(pairs) == S and times[0] == T - 1 and pairs[-1][1] == -1
    assert [t_prev for _, t_prev in pairs[:-1]] == times[1:] and all(t > t_prev for t, t_prev in pairs)


def test_quad_is_dense_at_the_clean_end_and_logsnr_even_in_log_snr():
    jumps = [t - t_prev for t, t_prev in timestep_pairs(1000, 10, "quad")]
    assert jumps == [190, 170, 150, 130, 110, 90, 70, 50, 30, 10]
    lambdas = half_log_snr(torch.cumprod(1 - make_betas("linear", 1000), dim=0))
    times = [t for t, _ in timestep_pairs(1000, 10, "logsnr", lambdas.tolist())]
    assert times[-1] == 0
    steps = lambdas[times].diff()
    assert (steps - steps.mean()).abs().max() < 0.1 * steps.mean()


def test_zero_terminal_snr_keeps_the_first_and_empties_the_last():
    """Lin et al. 2023, Algorithm 1."""
    betas = make_betas("linear", 1000)
    before = torch.cumprod(1 - betas, dim=0).sqrt()
    after = torch.cumprod(1 - zero_terminal_snr_betas(betas), dim=0).sqrt()
    assert after[-1] == 0
    expected = (before - before[-1]) * before[0] / (before[0] - before[-1])
    torch.testing.assert_close(after, expected, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="2 or more"):
        zero_terminal_snr_betas(betas[:1])


def test_sigmoid_is_that_of_jabri():
    u = torch.arange(1, 1000, dtype=torch.float64) / 1000
    start, end = torch.tensor(-3.0).double().sigmoid(), torch.tensor(3.0).double().sigmoid()
    expected = (end - (6 * u - 3).sigmoid()) / (end - start)
    alpha_bar = torch.cumprod(1 - make_betas("sigmoid", 1000), dim=0)
    torch.testing.assert_close(alpha_bar[:-1], expected, rtol=1e-9, atol=0)


def test_pairs_from_the_middle():
    chain = timestep_pairs(1000, 4)
    assert pairs_from(999, chain) == chain
    assert pairs_from(499, chain) == [(499, 249), (249, -1)]
    assert pairs_from(300, chain) == [(300, 249), (249, -1)]
    assert pairs_from(5, chain) == [(5, -1)]
    with pytest.raises(ValueError, match="0 to 999.*1000"):
        pairs_from(1000, chain)
