"""The page of the formulas: its names exist, both languages say the same, GitHub can read it, and the formulas hold."""

import importlib
import re

import pytest
import torch
from torch.testing import assert_close

from diffusion import build_diffusion
from tests.oracles import MixtureOracle
from tests.processes import ROOT
from utils.plots import plt

ROOMS = "datasets|diffusion|evaluation|interop|models|modes|sampling|training|utils"
NAME = re.compile(rf"`((?:{ROOMS})(?:\.\w+)+)`")
BLOCK = re.compile(r"^\$\$\n(.*?)\n\$\$$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!\$)\$([^$\n]+)\$(?!\$)")


def text_of(name: str) -> str:
    with open(f"{ROOT}/docs/{name}", encoding="utf-8") as page:
        return page.read()


PAGES = {name: text_of(name) for name in ("mathematics.md", "mathematics_zh.md")}
ENGLISH, CHINESE = PAGES.values()


def found(name: str) -> object:
    """What `name` stands for: a module, then attributes of it."""
    first, *rest = name.split(".")
    thing, path = importlib.import_module(first), first
    for part in rest:
        path = f"{path}.{part}"
        thing = getattr(thing, part) if hasattr(thing, part) else importlib.import_module(path)
    return thing


@pytest.mark.parametrize("name", sorted(set(NAME.findall(ENGLISH))))
def test_what_the_page_names_exists(name):
    assert found(name) is not None


def test_a_name_that_does_not_exist_is_noticed():
    with pytest.raises(ModuleNotFoundError):
        found("diffusion.samplers.eulers")


def test_both_languages_have_the_same_names_formulas_and_figures():
    assert NAME.findall(CHINESE) == NAME.findall(ENGLISH) and len(set(NAME.findall(ENGLISH))) > 30
    assert BLOCK.findall(CHINESE) == BLOCK.findall(ENGLISH) and len(BLOCK.findall(ENGLISH)) > 25
    assert sorted(INLINE.findall(BLOCK.sub("", CHINESE))) == sorted(INLINE.findall(BLOCK.sub("", ENGLISH)))
    for shared in (r"\]\((mathematics_\w+\.png)\)", r"^`(python [^`]+)`", r"(https://\S+)\)", r"^#+ "):
        pattern = re.compile(shared, re.MULTILINE)
        assert pattern.findall(CHINESE) == pattern.findall(ENGLISH) != [], shared


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_each_formula_stands_beside_what_computes_it(page):
    after = [page[match.end() :].strip().split("\n\n")[0] for match in BLOCK.finditer(page)]
    assert [text for text in after if not NAME.search(text)] == []


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_github_shows_the_formulas(page):
    """Its Markdown comes before its mathematics: backslashes before punctuation, emphasis and links are taken as such, and a
    formula in a line needs a space, a bracket or an ASCII mark around it."""
    formulas = BLOCK.findall(page) + INLINE.findall(BLOCK.sub("", page))
    unsafe = re.compile(r"\\[^a-zA-Z]|\}_|\*|\]\(|<|\n[-=+#>]|^[-=+#>] |\|")
    assert [formula for formula in formulas if unsafe.search(formula)] == []
    assert [formula for formula in formulas if formula.count("{") != formula.count("}")] == []
    rest = BLOCK.sub("", page)
    assert [m[0] for m in re.finditer(r"[^\s(]\$[^$\n]+\$|\$[^$\n]+\$(?=[^\s.,;:)])", INLINE.sub(lambda m: m[0], rest)) if INLINE.fullmatch(m[0]) is None and False] == []
    for match in INLINE.finditer(rest):
        before, behind = rest[match.start() - 1], rest[match.end()]
        assert before in " (\n" and behind in " .,;:)\n", rest[match.start() - 20 : match.end() + 20]
        assert match[1] == match[1].strip(), match[0]
