import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion import SampleInfo
from diffusion.sample_info import METHODS
from diffusion.schedules import SPACINGS


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
    ],
)
def test_canonical_texts_survive(text):
    assert str(SampleInfo.parse(text)) == text


def test_fields():
    assert SampleInfo.parse("ddim_50_0P50") == SampleInfo("DDIM", 50, 0.5)
    assert str(SampleInfo.parse("ddim_50_0P50")) == "DDIM_50_0p5"
    assert SampleInfo.parse("Unipc_8_0p0_QUAD") == SampleInfo("UNIPC", 8, 0.0, "quad")
    assert str(SampleInfo.parse("DDIM_20_0p0_uniform")) == "DDIM_20_0p0"


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
    ],
)
def test_anything_else_is_refused_with_the_rule(text):
    with pytest.raises(ValueError) as error:
        SampleInfo.parse(text)
    for words in (repr(text), "METHOD_STEPS_ETA", "DDPM", "DDIM"):
        assert words in str(error.value)


@given(st.sampled_from(METHODS), st.integers(1, 10**6), st.floats(0, 1), st.sampled_from(SPACINGS))
def test_every_sampler_has_one_spelling(method, steps, eta, spacing):
    info = SampleInfo(method, steps, 0.0 if method in ("HEUN", "UNIPC") else eta, spacing)
    assert SampleInfo.parse(str(info)).eta == pytest.approx(info.eta, abs=1e-15)
    assert str(SampleInfo.parse(str(info))) == str(info)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_by_name(text):
    try:
        SampleInfo.parse(text)
    except ValueError as error:
        assert repr(text) in str(error)
