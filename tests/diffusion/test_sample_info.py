import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion import GaussianDiffusion, Guidance, SampleInfo, make_betas, sample
from diffusion.sample_info import DETERMINISTIC, METHODS
from diffusion.schedules import SPACINGS
from sampling.network import sampling_network


@pytest.mark.parametrize(
    "text",
    [
        "DDPM_1000_0p0",
        "DDIM_50_0p0",
        "DDIM_1_1p0",
        "DDIM_50_0p25",
        "DPMPP_20_0p0_logsnr",
        "UNIPC_10_0p0",
        "HEUN_18_0p0_quad",
        "EDM_18_0p5_karras",
        "DDIM_50_1p0_cfg1p5",
        "DPMPP_20_0p0_logsnr_cfg0p0",
        "DDIM_50_0p0_cfg2p0t200t800",
        "DDIM_50_1p0_r5",
        "DPMPP_20_0p0_logsnr_cfg1p5t200t800_r1000",
    ],
)
def test_canonical_texts_survive(text):
    assert str(SampleInfo.parse(text)) == text


def test_fields():
    assert SampleInfo.parse("ddim_50_0P50") == SampleInfo("DDIM", 50, 0.5)
    assert str(SampleInfo.parse("ddim_50_0P50")) == "DDIM_50_0p5"
    assert SampleInfo.parse("Unipc_8_0p0_QUAD") == SampleInfo("UNIPC", 8, 0.0, "quad")
    assert str(SampleInfo.parse("DDIM_20_0p0_uniform")) == "DDIM_20_0p0"
    assert SampleInfo.parse("DDIM_20_0p0_quad_CFG1p50").guidance == Guidance(1.5)
    assert SampleInfo.parse("DDIM_20_0p0_cfg2p0T0T9").guidance == Guidance(2.0, (0, 9))
    assert SampleInfo.parse("ddim_20_0p0_R05") == SampleInfo("DDIM", 20, 0.0, resamplings=5)
    for text in ("DDIM_20_0p0_cfg1p0", "DDIM_20_0p0_cfg1p00t200t800", "DDIM_20_0p0_r1", "DDIM_20_0p0_uniform_cfg1p0_r01"):
        assert str(SampleInfo.parse(text)) == "DDIM_20_0p0" and SampleInfo.parse(text) == SampleInfo("DDIM", 20, 0.0)


@pytest.mark.parametrize(
    "text, calls, exactly",
    [
        ("DDIM_4_0p0", 4, 4),
        ("HEUN_4_0p0", 7, 7),
        ("EDM_4_0p0", 7, 7),
        ("DDIM_4_0p0_cfg1p5", 8, 8),
        ("HEUN_4_0p0_cfg1p5", 14, 14),
        ("DDIM_4_0p0_cfg1p5t40t80", 8, 6),  # of t = 99, 74, 49, 24 two lie within
        ("HEUN_4_0p0_cfg1p5t24t24", 14, 9),  # looked at twice: as a step's end, and as the next one's beginning
        ("DDIM_4_0p0_cfg1p5t75t98", 8, 4),
    ],
)
def test_what_a_picture_costs(text, calls, exactly):
    """Counted on a network that counts: rows evaluated, on a chain of T = 100."""
    info = SampleInfo.parse(text)
    diffusion = GaussianDiffusion(make_betas("cosine", 100))
    rows = []

    def network(x_t, t, y=None):
        rows.append(len(x_t))
        return 0 * x_t

    wrapped = sampling_network(
        network, diffusion, labels=torch.tensor([0]), num_classes=1, guidance=info.guidance
    )
    sample(wrapped, diffusion, torch.zeros(1, 1, 2, 2), info)
    assert sum(rows) == info.network_calls_on(diffusion.timestep_pairs(info.steps)) == exactly
    assert info.network_calls == calls


def test_labels_for_people():
    assert SampleInfo.parse("DDIM_50_0p5_quad_cfg1p5t2t9").label == "DDIM eta 0.5 quad cfg 1.5 t 2-9"
    assert SampleInfo.parse("UNIPC_10_0p0").label == "UNIPC"
    assert SampleInfo.parse("EDM_18_0p5_karras").label == "EDM eta 0.5 karras"
    assert SampleInfo.parse("DDIM_9_0p0_r3").label == "DDIM eta 0 each step 3 times"


def test_each_jump_is_taken_again_but_the_last():
    info = SampleInfo.parse("HEUN_3_0p0_r2")
    assert info.walk([(9, 5), (5, 2), (2, -1)]) == [(9, 5), (9, 5), (5, 2), (5, 2), (2, -1)]
    assert info.network_calls == info.network_calls_on([(9, 5), (5, 2), (2, -1)]) == 9
    assert SampleInfo.parse("DDIM_3_0p0_cfg2p0_r2").network_calls == 10


def test_what_does_not_fit_the_network_is_refused_in_one_line():
    for text, classes, words in (
        ("DDIM_50_0p0_cfg1p5", 0, "without classes"),
        ("DDIM_101_0p0", 3, "from 1 to the 100 of training, not 101"),
        ("DDIM_50_0p0_cfg1p5t0t100", 3, "the last is 99"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            SampleInfo.parse(text).check_fits(100, classes)
        assert "\n" not in str(error.value)
    SampleInfo.parse("DDIM_100_0p0_cfg1p5t0t99").check_fits(100, 1)
    SampleInfo.parse("DDIM_100_0p0_cfg1p0").check_fits(100, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DDIM",
        "DDIM_50",
        "DDIM_50_",
        "DDIM_50_0",
        "DDIM_50_0.5",
        "DDIM_50_0p",
        "DDIM__0p0",
        "DDIM_0_0p0",
        "DDIM_-5_0p0",
        "DDIM_5.0_0p0",
        "DDIM_50_1p1",
        "DDIM_50_-0p1",
        "DDMI_50_0p0",
        "DDIM 50 0p0",
        " DDIM_50_0p0",
        "DDIM_50_0p0\n",
        "DDIM_50_0p0_",
        "DDIM_50_0p0_0p0",
        "DDIM_٥٠_0p0",
        "DDIM_50_0p0_circle",
        "HEUN_18_0p5",
        "UNIPC_10_1p0",
        "DDIM_20_0p0_quad_quad",
        "DDIM_20_0p0_cfg",
        "DDIM_20_0p0_cfg2",
        "DDIM_20_0p0_cfg1.5",
        "DDIM_20_0p0_cfg-1p0",
        "DDIM_20_0p0_cfg1p5_quad",
        "DDIM_20_0p0_cfg1p5_cfg1p5",
        "DDIM_20_0p0_cfg1p5t200",
        "DDIM_20_0p0_cfg1p5t800t200",
        "DDIM_20_0p0_cfg101p0",
        "DDIM_20_cfg1p5",
        "DDIM_20_0p0_r",
        "DDIM_20_0p0_r0",
        "DDIM_20_0p0_r1001",
        "DDIM_20_0p0_r2p0",
        "DDIM_20_0p0_r5_cfg1p5",
        "DDIM_20_0p0_r5_r5",
        "DDIM_20_r5",
    ],
)
def test_anything_else_is_refused_with_the_rule(text):
    with pytest.raises(ValueError) as error:
        SampleInfo.parse(text)
    for words in (repr(text), "METHOD_STEPS_ETA", "DDPM", "DDIM"):
        assert words in str(error.value)


GUIDANCES = st.builds(
    Guidance, st.floats(0, 100), st.none() | st.tuples(st.integers(0, 500), st.integers(500, 10**6))
).filter(lambda guidance: guidance.scale != 1)


@given(
    st.sampled_from(METHODS),
    st.integers(1, 10**6),
    st.floats(0, 1),
    st.sampled_from(SPACINGS),
    st.just(Guidance()) | GUIDANCES,
    st.integers(1, 1000),
)
def test_every_sampler_has_one_spelling(method, steps, eta, spacing, guidance, resamplings):
    info = SampleInfo(method, steps, 0.0 if method in DETERMINISTIC else eta, spacing, guidance, resamplings)
    assert SampleInfo.parse(str(info)).resamplings == resamplings
    assert SampleInfo.parse(str(info)).guidance.interval == guidance.interval
    assert SampleInfo.parse(str(info)).guidance.scale == pytest.approx(guidance.scale, abs=1e-15)
    assert SampleInfo.parse(str(info)).eta == pytest.approx(info.eta, abs=1e-15)
    assert str(SampleInfo.parse(str(info))) == str(info)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_by_name(text):
    try:
        SampleInfo.parse(text)
    except ValueError as error:
        assert repr(text) in str(error)
