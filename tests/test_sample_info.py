import pytest

from diffusion import SampleInfo, parse_sample_info


@pytest.mark.parametrize("text", ["DDPM_1000_0p0", "DDIM_50_0p0", "DDIM_1_1p0", "DDIM_50_0p25"])
def test_canonical_texts_survive(text):
    assert str(parse_sample_info(text)) == text


def test_fields():
    assert parse_sample_info("ddim_50_0P50") == SampleInfo("DDIM", 50, 0.5)
    assert str(SampleInfo.parse("ddim_50_0P50")) == "DDIM_50_0p5"


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
    ],
)
def test_anything_else_is_refused_with_the_rule(text):
    with pytest.raises(ValueError) as error:
        parse_sample_info(text)
    for words in (repr(text), "METHOD_STEPS_ETA", "DDPM", "DDIM"):
        assert words in str(error.value)
