"""The page of the formulas: its names exist, both languages say the same, GitHub can show it, and the figures' network is exact."""

import importlib
import os
import re

import pytest
import torch
from matplotlib.mathtext import MathTextParser
from torch.testing import assert_close

from benchmarks.mathematics_figures import FIGURES, Mixture, exact_diffusion
from diffusion import GaussianDiffusion, SampleInfo, make_betas, sample
from tests.oracles import MixtureOracle
from tests.processes import ROOT

ROOMS = "datasets|diffusion|evaluation|interop|models|modes|sampling|training|utils"
NAME = re.compile(rf"`((?:{ROOMS})(?:\.\w+)+)`")
BLOCK = re.compile(r"^\$\$\n(.*?)\n\$\$$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\$([^$\n]+)\$")


def text_of(name: str) -> str:
    with open(f"{ROOT}/docs/{name}", encoding="utf-8") as page:
        return page.read()


ENGLISH, CHINESE = text_of("mathematics.md"), text_of("mathematics_zh.md")
BOTH = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["english", "chinese"])


def found(name: str) -> object:
    """What `name` stands for: modules, then attributes of the last."""
    path, *rest = name.split(".")
    thing = importlib.import_module(path)
    for part in rest:
        path = f"{path}.{part}"
        thing = getattr(thing, part) if hasattr(thing, part) else importlib.import_module(path)
    return thing


@pytest.mark.parametrize("name", sorted(set(NAME.findall(ENGLISH))))
def test_what_the_page_names_exists(name):
    assert found(name) is not None


@pytest.mark.parametrize("name", ["diffusion.samplers.eulers", "diffusion.GaussianDiffusion.p_sample"])
def test_a_name_that_does_not_exist_is_noticed(name):
    with pytest.raises(ModuleNotFoundError):
        found(name)


def test_both_languages_have_the_same_names_formulas_figures_and_papers():
    assert sorted(NAME.findall(CHINESE)) == sorted(NAME.findall(ENGLISH)) and len(set(NAME.findall(ENGLISH))) > 30
    assert BLOCK.findall(CHINESE) == BLOCK.findall(ENGLISH) and len(BLOCK.findall(ENGLISH)) > 20
    of_lines = [set(INLINE.findall(BLOCK.sub("", page))) for page in (CHINESE, ENGLISH)]
    assert of_lines[0] == of_lines[1]
    for shared in (r"\]\((mathematics_\w+\.png)\)", r"^`(python [^`]+)`", r"(https://[^)]+)\)", r"^#+ "):
        pattern = re.compile(shared, re.MULTILINE)
        assert pattern.findall(CHINESE) == pattern.findall(ENGLISH) != [], shared


@BOTH
def test_each_formula_stands_beside_what_computes_it(page):
    after = [page[formula.end() :].strip().split("\n\n")[0] for formula in BLOCK.finditer(page)]
    assert [paragraph for paragraph in after if not NAME.search(paragraph)] == []


@BOTH
def test_github_shows_the_formulas(page):
    """GitHub reads Markdown before mathematics: it takes backslashes before punctuation, emphasis, links, tags, lists and tables
    for its own, and a formula within a line only between spaces, brackets and ASCII marks."""
    taken, parser = re.compile(r"\\[^a-zA-Z]|\}_|\*|\]\(|<|\||\n"), MathTextParser("path")
    lines = BLOCK.sub("", page)
    for formula in BLOCK.findall(page) + INLINE.findall(lines):
        assert not taken.search(formula) and formula == formula.strip(), formula
        parser.parse(f"${formula}$")  # ValueError for what is not TeX
    assert [formula for formula in BLOCK.findall(page) if formula[0] in "-=+#>"] == []
    for formula in INLINE.finditer(lines):
        before, behind = lines[formula.start() - 1], lines[formula.end()]
        assert before in " (\n" and behind in " .,;:)\n", lines[formula.start() - 20 : formula.end() + 20]


def test_figures_are_those_of_the_script_and_small():
    assert set(re.findall(r"\(mathematics_(\w+)\.png\)", ENGLISH)) == set(FIGURES)
    for name in FIGURES:
        assert f"`python benchmarks/mathematics_figures.py {name}`" in ENGLISH
        assert os.path.getsize(f"{ROOT}/docs/mathematics_{name}.png") < 200_000


def test_the_figures_network_is_the_optimal_one():
    """Of all pictures as the tests' own oracle, of a class as that of its Gaussian."""
    diffusion = exact_diffusion()
    mixture = Mixture(diffusion, (-0.5, 0.5), 0.2)
    x_t, t = torch.linspace(-2, 2, 9, dtype=torch.float64).view(-1, 1, 1, 1), torch.full((9,), 400)
    assert_close(mixture(x_t, t), MixtureOracle(diffusion, [-0.5, 0.5], 0.2)(x_t, t), rtol=1e-9, atol=1e-12)
    for y, mean in enumerate((-0.5, 0.5)):
        of_class = MixtureOracle(diffusion, [mean], 0.2)(x_t, t)
        assert_close(mixture(x_t, t, torch.full((9,), y)), of_class, rtol=1e-9, atol=1e-12)
    assert_close(mixture(x_t, t, torch.full((9,), 2)), mixture(x_t, t), rtol=0, atol=0)


def test_the_ode_takes_quantiles_to_quantiles():
    diffusion = exact_diffusion("linear")
    mixture = Mixture(diffusion, (-0.5, 0.5), 0.2)
    share = torch.tensor([0.1, 0.3, 0.5, 0.8], dtype=torch.float64)
    assert_close(mixture.cdf(mixture.quantile(share, 300), 300), share, rtol=0, atol=1e-12)
    ends = sample(mixture, diffusion, mixture.quantile(share, 999).view(-1, 1, 1, 1), SampleInfo("DPMPP", 200, 0.0, "logsnr"))
    assert_close(ends.flatten(), mixture.quantile(share, -1), rtol=0, atol=1e-3)


def test_errors_of_one_prediction_in_the_page_s_units():
    """(noise's error)^2 = SNR (x_0's error)^2 = signal^2 (v's error)^2, by which weights are translated."""
    t, generator = 700, torch.Generator().manual_seed(0)
    x_0, noise, guess = torch.randn(3, 4, 1, 2, 2, dtype=torch.float64, generator=generator)
    errors = {}
    for objective in ("pred_noise", "pred_x0", "pred_v"):
        diffusion = GaussianDiffusion(make_betas("cosine", 1000), objective)
        x_t = diffusion.q_sample(x_0, t, noise)
        errors[objective] = (diffusion.output_for(guess, x_t, t) - diffusion.target(x_0, t, noise)).square()
    alpha_bar = diffusion.alpha_bar(t)
    assert_close(errors["pred_noise"], alpha_bar / (1 - alpha_bar) * errors["pred_x0"], rtol=1e-9, atol=1e-12)
    assert_close(errors["pred_noise"], alpha_bar * errors["pred_v"], rtol=1e-9, atol=1e-12)
