"""Students: the arithmetic of two jumps in one, what an exact student is taught, and what CM draws from it."""

import math

import pytest
import torch

from diffusion import GaussianDiffusion, Prediction, SampleInfo, make_betas, sample, timestep_pairs
from diffusion.distillation import KINDS, Student, check_student, first_share, heun_estimate, jump_ends, student_target
from diffusion.samplers import heun
from tests.diffusion.test_samplers import normal, scripted
from tests.oracles import GaussianOracle

T = 1000
STD = 0.4


def ddim_jump(diffusion, x_t, x_0, t, t_end):
    """DDIM's Eq. 12 with eta 0, a time for each picture."""
    signal, sigma = diffusion.alpha_bar(t).sqrt(), (1 - diffusion.alpha_bar(t)).sqrt()
    return diffusion.q_sample(x_0, t_end, (x_t - signal * x_0) / sigma)


@pytest.mark.parametrize("zero_terminal", [False, True])
def test_one_jump_by_the_mixture_leads_where_the_two_lead(zero_terminal):
    betas = make_betas("cosine", T)
    if zero_terminal:
        betas[-1] = 1.0
    diffusion = GaussianDiffusion(betas, objective="pred_v", clip_denoised=False)
    t, between, t_end = (torch.tensor(times) for times in zip((999, 500, 499), (999, 749, -1), (1, 0, -1), (300, 299, 250)))
    x_t, first, second = normal(4, 1, 3, 3), normal(4, 1, 3, 3, seed=1), normal(4, 1, 3, 3, seed=2)
    share = first_share(diffusion, t, between, t_end)
    one = ddim_jump(diffusion, x_t, torch.lerp(second, first, share), t, t_end)
    two = ddim_jump(diffusion, ddim_jump(diffusion, x_t, first, t, between), second, between, t_end)
    torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


def test_a_first_jump_that_goes_all_the_way_counts_alone():
    diffusion = GaussianDiffusion(make_betas("cosine", T))
    end = torch.tensor([-1, 249])
    assert first_share(diffusion, torch.tensor([10, 400]), end, end).tolist() == [[[[1.0]]], [[[1.0]]]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 2, 4, 7])
@pytest.mark.parametrize("timestep_num", [7, 100, T])
def test_jumps_go_down_and_stay_in_their_segment(timestep_num, steps, kind):
    ends = [end for _, end in timestep_pairs(timestep_num, steps)]
    for done in (0.0, 0.3, 0.6, 0.999, 1.0):
        t = torch.arange(timestep_num)
        between, t_end = jump_ends(Student(kind, steps), t, timestep_num, done)
        assert ((t_end <= between) & (between < t)).all()
        assert t_end.tolist() == [max(end for end in ends if end < each) for each in range(timestep_num)]


@pytest.mark.parametrize(
    "kind, t, lengths",
    [
        ("consistency_training", 999, [125, 62, 31, 15, 7, 7]),
        ("consistency_training", 249, [125, 62, 31, 15, 7, 7]),
        ("consistency", 999, [250, 250, 125, 125, 62, 62]),
        ("consistency", 249, [125, 125, 62, 62, 31, 31]),
    ],
)
def test_consistency_jumps_become_shorter(kind, t, lengths):
    at = torch.tensor([t])
    assert [int(t - jump_ends(Student(kind), at, T, done)[0]) for done in (0.0, 0.25, 0.45, 0.65, 0.85, 1.0)] == lengths


@pytest.mark.parametrize("zero_terminal", [False, True])
def test_one_jump_by_the_estimate_of_heun_leads_where_a_step_of_heun_leads(zero_terminal):
    betas = make_betas("cosine", T)
    if zero_terminal:
        betas[-1] = 1.0
    diffusion = GaussianDiffusion(betas, objective="pred_v", clip_denoised=False)
    teacher = GaussianOracle(diffusion, 0.1, STD)
    t, between = torch.tensor([999, 998, 500, 40, 3, 1, 300]), torch.tensor([749, 700, 480, 8, 2, 0, -1])
    x_t = normal(7, 1, 3, 3)
    found = heun_estimate(diffusion, lambda x, at: diffusion.predict(teacher(x, at), x, at), x_t, t, between)
    jumps = diffusion.q_sample(found.x_0, between, found.noise)
    for row, (first, second) in enumerate(zip(t.tolist(), between.tolist())):
        # Where all is noise the sampler takes lambda of nearly all.
        tolerance = 5e-3 if zero_terminal and first == 999 else 1e-9
        torch.testing.assert_close(jumps[[row]], step_of_heun(diffusion, teacher, x_t[[row]], first, second), rtol=0, atol=tolerance)


def step_of_heun(diffusion, teacher, x_t, t, t_prev):
    """Where the sampler's step from t to t_prev leads: there it makes its next call."""
    seen = []
    pairs = [(t, t_prev)] if t_prev < 0 else [(t, t_prev), (t_prev, -1)]
    x_0 = heun(
        lambda x, at: teacher(x, torch.full((1,), at)), diffusion, x_t, pairs, 0.0, None,
        lambda index, at, following, x, prediction: seen.append(x),
    )  # fmt: skip
    return x_0 if t_prev < 0 else seen[1]


def consistency_function(diffusion):
    """Of pixels N(0, STD^2) the ODE's end: x_t times STD over its standard deviation (Song et al. 2021b: scores of a Gaussian)."""

    def estimate(x_t, t):
        alpha_bar = diffusion.alpha_bar(t).to(x_t)
        x_0 = x_t * STD / (alpha_bar * STD**2 + 1 - alpha_bar).sqrt()
        return Prediction(x_0, (x_t - alpha_bar.sqrt() * x_0) / (1 - alpha_bar).sqrt())

    return estimate


@pytest.mark.parametrize("kind", KINDS)
def test_the_exact_student_is_taught_what_it_says(kind):
    """With short jumps its target is its own estimate: of consistency training on average, as x_0 and noise are drawn."""
    diffusion = GaussianDiffusion(make_betas("cosine", T), clip_denoised=False)
    oracle = GaussianOracle(diffusion, 0.0, STD)
    count = 200_000 if kind == "consistency_training" else 1000
    def teacher(x_t, t):
        return diffusion.predict(oracle(x_t, t), x_t, t)

    student, x_0, noise = consistency_function(diffusion), STD * normal(count, 1, 1, 1), normal(count, 1, 1, 1, seed=1)
    for t in (100, 500, 900):
        at = torch.full((count,), t)
        times = at, *jump_ends(Student(kind), at, T, 1.0)
        target = student_target(diffusion, Prediction(x_0, noise), times, teacher if kind == "consistency" else None, student)
        x_t = diffusion.q_sample(x_0, times[0], noise)
        gain = (target * x_t).mean() / (x_t * x_t).mean()  # the regression on x_t, of which a network learns the mean
        exact = (student(x_t, times[0]).x_0 * x_t).mean() / (x_t * x_t).mean()
        torch.testing.assert_close(gain, exact, rtol=0.003, atol=0)


def test_the_exact_student_of_several_steps_is_taught_what_it_says():
    """Of a Gaussian the ODE leads from x_t to std_e / std_t x_t, which one jump of DDIM reaches by one x_0."""
    diffusion = GaussianDiffusion(make_betas("cosine", T), clip_denoised=False)
    oracle, ends = GaussianOracle(diffusion, 0.0, STD), [end for _, end in timestep_pairs(T, 4)]

    def student(x_t, t):
        t_end = torch.tensor([max(end for end in ends if end < each) for each in t.tolist()])
        ab, ab_end = diffusion.alpha_bar(t), diffusion.alpha_bar(t_end)
        std, std_end = ((each * (STD**2 - 1) + 1).sqrt() for each in (ab, ab_end))
        sigma, sigma_end = (1 - ab).sqrt(), (1 - ab_end).sqrt()
        x_0 = (std_end / std - sigma_end / sigma) * x_t / (ab_end.sqrt() - sigma_end / sigma * ab.sqrt())
        return Prediction(x_0, (x_t - ab.sqrt() * x_0) / sigma)

    t = torch.tensor([999, 900, 760, 750, 749, 600, 400, 255, 250, 249, 100, 7, 0])
    x_0, noise = STD * normal(len(t), 1, 2, 2), normal(len(t), 1, 2, 2, seed=1)
    times = t, *jump_ends(Student("consistency", 4), t, T, 1.0)
    assert (times[1] == times[2]).any() and (times[1] > times[2]).any()  # first jumps that go all the way, and that do not
    target = student_target(
        diffusion, Prediction(x_0, noise), times, lambda x, t: diffusion.predict(oracle(x, t), x, t), student
    )
    torch.testing.assert_close(target, student(diffusion.q_sample(x_0, t, noise), t).x_0, rtol=0.02, atol=0.002)


@pytest.mark.parametrize("objective", ["pred_x0", "pred_v", "pred_flow", "pred_edm"])
@pytest.mark.parametrize("loss_type", ["l1", "l2"])
def test_the_loss_of_a_student_is_the_distance_of_its_estimate_from_the_target(objective, loss_type):
    diffusion = GaussianDiffusion(make_betas("cosine", T), objective=objective, loss_type=loss_type, variance="learned")
    x_0, noise, toward, said = (normal(3, 1, 4, 4, seed=seed) for seed in range(4))
    t = torch.tensor([10, 500, 990])
    x_t = diffusion.q_sample(x_0, t, noise)
    output = torch.cat([diffusion.output_for(said, x_t, t), normal(3, 1, 4, 4, seed=5)], dim=1)  # whose variance does not count
    found = diffusion.training_losses(lambda x, t: output, x_0, t, noise, toward)
    error = (said - toward).abs() if loss_type == "l1" else (said - toward).square()
    torch.testing.assert_close(found, error.flatten(1).mean(dim=1), rtol=1e-6, atol=1e-9)


def test_a_student_may_overshoot_where_its_target_is_black_or_white():
    diffusion = GaussianDiffusion(make_betas("cosine", T), objective="pred_x0", loss_type="l2", loss_of_clipped=True)
    toward = torch.tensor([-1.0, 1.0, 0.5, 1.0], dtype=torch.float64).view(1, 1, 2, 2)
    said = torch.tensor([-3.0, 2.0, 0.5, 0.0], dtype=torch.float64).view(1, 1, 2, 2)
    found = diffusion.training_losses(lambda x, t: said, torch.zeros_like(said), torch.tensor([500]), torch.zeros_like(said), toward)
    torch.testing.assert_close(found, torch.tensor([0.25], dtype=torch.float64), rtol=0, atol=0)


@pytest.mark.parametrize("S", [1, 2, 4, T])
def test_cm_keeps_the_spread_of_the_data(S):
    """Of a Gaussian each call of the exact student ends on N(0, STD^2), and its noising anew on q(x_t)."""
    diffusion = GaussianDiffusion(make_betas("cosine", T), objective="pred_x0", clip_denoised=False)
    student = consistency_function(diffusion)
    seen = []

    def network(x_t, t):
        seen.append(x_t.std().item() / math.sqrt(diffusion.alpha_bar(int(t[0])) * (STD**2 - 1) + 1))
        return student(x_t, t).x_0

    drawn = sample(network, diffusion, normal(20_000, 1, 1, 1), SampleInfo("CM", S, 0.0), noise_like=scripted())
    assert len(seen) == S
    torch.testing.assert_close(torch.tensor(seen), torch.ones(S), rtol=0.02, atol=0)
    torch.testing.assert_close(drawn.std().item(), STD, rtol=0.02, atol=0)


def test_where_two_timesteps_have_the_same_noise_the_estimate_of_heun_is_finite():
    """Betas of one's own may be too small to count."""
    diffusion = GaussianDiffusion(torch.tensor([0.1, 1e-18, 0.1], dtype=torch.float64), objective="pred_x0")
    start, t, between = Prediction(normal(1, 1, 2, 2), normal(1, 1, 2, 2, seed=1)), torch.tensor([1]), torch.tensor([0])
    found = heun_estimate(diffusion, lambda x_t, at: start, diffusion.q_sample(start.x_0, t, start.noise), t, between)
    torch.testing.assert_close(found, start, rtol=1e-9, atol=1e-9)


def test_cm_draws_with_timesteps_that_were_tuned_for_it():
    diffusion = GaussianDiffusion(make_betas("cosine", T), tuned_times={"CM_2_0p0": [999, 500]})
    assert SampleInfo.parse("CM_2_0p0_tuned").pairs_on(diffusion) == [(999, 500), (500, -1)]


def test_cm_takes_the_noisier_half_of_the_timesteps():
    diffusion = GaussianDiffusion(make_betas("cosine", T))
    for S, expected in ((1, [999]), (2, [999, 665]), (4, [999, 856, 713, 570])):
        assert SampleInfo("CM", S, 0.0).pairs_on(diffusion) == list(zip(expected, [*expected[1:], -1]))
    for S in range(1, T + 1):
        pairs = SampleInfo("CM", S, 0.0).pairs_on(diffusion)
        assert len(pairs) == S and pairs[0][0] == T - 1 and pairs[-1][1] == -1
        assert all(t > t_prev for t, t_prev in pairs) and all(one[1] == two[0] for one, two in zip(pairs, pairs[1:]))


def test_one_step_of_cm_is_one_jump_of_ddim():
    diffusion = GaussianDiffusion(make_betas("cosine", T))
    x_T, network = normal(3, 1, 4, 4), GaussianOracle(diffusion, 0.1, STD)
    cm, ddim = (sample(network, diffusion, x_T, SampleInfo(method, 1, 0.0)) for method in ("CM", "DDIM"))
    torch.testing.assert_close(cm, ddim, rtol=0, atol=0)


@pytest.mark.parametrize(
    "student, good, bad",
    [
        (Student("consistency"), ["CM_1_0p0", "CM_4_0p0", "CM_3_0p0_logsnr"], ["DDIM_4_0p0", "DPMPP_20_0p0", "CM_4_0p5"]),
        (Student("consistency", 4), ["DDIM_4_0p0"], ["CM_4_0p0", "DDIM_2_0p0", "DDIM_4_0p5", "DDIM_4_0p0_quad", "UNIPC_4_0p0"]),
        (None, ["DDIM_4_0p0", "DDIM_4_0p0_cfg1p5"], ["CM_4_0p0"]),
    ],
)
def test_a_student_draws_with_its_own_samplers_alone(student, good, bad):
    for text in good:
        check_student(SampleInfo.parse(text), [student])
    for text in bad:
        with pytest.raises(ValueError, match="draws? from a student"):
            check_student(SampleInfo.parse(text), [student])


def test_a_student_is_not_guided():
    with pytest.raises(ValueError, match="a student draws without: leave _cfg out"):
        check_student(SampleInfo.parse("CM_2_0p0_cfg1p5"), [Student("consistency")])
