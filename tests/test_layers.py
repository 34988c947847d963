"""Arrows go down only: the imports of every file, read from its source. See `tests.layers.ROOMS` and DESIGN.md's rooms."""

from pathlib import Path

import pytest

from tests.layers import ROOMS, circles, read_tree, settings_below, ways_to, wrong_arrows

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tree():
    return read_tree(ROOT)


def test_every_file_of_the_house_is_in_a_room(tree):
    others = {"tests", "benchmarks", "docs", "data", "results", "train_results", "checkpoints", "shared"}
    rooms = {path.parent.name for path in ROOT.glob("*/*.py") if not path.parent.name.startswith(".")} - others
    assert rooms <= set(ROOMS) and {path.stem for path in ROOT.glob("*.py")} <= set(ROOMS)
    assert {"diffusion", "models", "utils", "datasets", "sampling", "training", "evaluation", "modes"} <= rooms
    assert len(tree.modules) > 50 and len(tree.imports) > 300


def test_arrows_go_down_only(tree):
    assert wrong_arrows(tree) == []


def test_no_module_imports_itself_through_others(tree):
    assert circles(tree) == []


def test_drawing_reaches_no_training(tree):
    assert ways_to(tree, "test_solver", "training") == []


def test_neither_settings_nor_argparse_below_the_scripts_and_modes(tree):
    assert settings_below(tree) == []


# The reader itself, on small trees.


def made(tmp_path, **files):
    for name, text in files.items():
        path = tmp_path / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text, encoding="utf-8")
    return read_tree(tmp_path)


@pytest.mark.parametrize(
    "importer, text, name",
    [
        ("utils__a", "from datasets.b import x", "datasets.b"),
        ("utils__a", "import os, datasets.b as c", "datasets.b"),
        ("utils__a", "from datasets import b", "datasets.b"),
        ("utils__a", "def f():\n    from datasets import b", "datasets.b"),
        ("utils__a", "def f():\n    importlib.import_module('datasets.b')", "datasets.b"),
        ("utils__a", "def f(n):\n    import_module(f'datasets.{n}')", "datasets.b"),
        ("sampling__a", "if TYPE_CHECKING:\n    from training.b import x", "training.b"),
        ("modes__a", "from training import b", "training.b"),
        ("evaluation__a", "import modes.b", "modes.b"),
        ("datasets__a", "from diffusion import b", "diffusion.b"),
        ("interop__a", "from sampling.b import c", "sampling.b"),
        ("diffusion__a", "from models.b import c", "models.b"),
        ("models__a", "import numpy", "numpy"),
        ("models__a", "import tests.oracles", "tests.oracles"),
        ("utils__a", "from ..datasets.b import x", "datasets.b"),
        ("train_solver", "from modes import b", "modes.b"),
        ("test_solver", "from training import b", "training.b"),
        ("page__a", "from modes.b import c", "modes.b"),
        ("page__a", "from training import b", "training.b"),
    ],
)
def test_a_wrong_arrow_is_found(tmp_path, importer, text, name):
    others = {f"{room}__b": "" for room in ("datasets", "training", "modes", "diffusion", "sampling", "models")}
    (wrong,) = wrong_arrows(made(tmp_path, **others, **{importer: text}))
    assert wrong.startswith(importer.replace("__", ".")) and f"imports {name}:" in wrong


def test_what_goes_down_is_right(tmp_path):
    tree = made(
        tmp_path,
        utils__a="import torch, numpy, os\nfrom diffusion.b import c",
        diffusion__b="import torch.nn, math\nfrom diffusion import d\nfrom . import d",
        diffusion__d="",
        modes__e="import argparse\nfrom utils.settings import Settings\nfrom evaluation import f",
        evaluation__f="from interop.g import h\nfrom sampling import i",
        interop__g="from utils.settings import Settings",
        sampling__i="from datasets.k import l",
        utils__settings="",
        datasets__k="from utils.a import m",
        test_solver="import importlib\nfor n in 'e':\n    importlib.import_module(f'modes.{n}')",
    )
    assert wrong_arrows(tree) == circles(tree) == settings_below(tree) == ways_to(tree, "test_solver", "training") == []


def test_circles_are_found(tmp_path):
    tree = made(
        tmp_path,
        utils__a="from utils.b import x",
        utils__b="def f():\n    from utils import c",
        utils__c="import utils.a",
        utils__d="from utils import a",
    )
    assert circles(tree) == ["utils.a -> utils.b -> utils.c -> utils.a"]


def test_a_package_and_its_own_module_are_a_circle(tmp_path):
    (tmp_path / "diffusion").mkdir()
    (tmp_path / "diffusion/__init__.py").write_text("from diffusion.a import x")
    (tmp_path / "diffusion/a.py").write_text("from diffusion import y")
    (tmp_path / "diffusion/b.py").write_text("from diffusion.a import y")
    assert circles(read_tree(tmp_path)) == ["diffusion -> diffusion.a -> diffusion"]


@pytest.mark.parametrize("link", ["from sampling import b", "import importlib\nimportlib.import_module('sampling.b')"])
def test_a_way_to_the_training_is_found_through_others(tmp_path, link):
    (tmp_path / "sampling").mkdir()
    (tmp_path / "sampling/__init__.py").write_text("from utils import c")  # it runs, whichever module is asked for
    tree = made(
        tmp_path,
        test_solver="import importlib\ndef run(n):\n    importlib.import_module(f'modes.{n}')",
        modes__a=link,
        sampling__b="",
        utils__c="def f():\n    import training.d",
        training__d="",
    )
    assert ways_to(tree, "test_solver", "training")[0].startswith("test_solver -> modes.a -> sampling")


@pytest.mark.parametrize(
    "importer, text, count",
    [
        ("training__a", "from utils.settings import TrainSettings", 1),
        ("sampling__a", "from utils import settings", 1),
        ("evaluation__a", "import argparse", 1),
        ("interop__a", "from argparse import Namespace", 1),
        ("interop__a", "from utils.settings import Settings", 0),
        ("modes__a", "import argparse", 0),
        ("utils__a", "import argparse\nfrom utils.settings import Settings", 0),
    ],
)
def test_settings_below_are_found(tmp_path, importer, text, count):
    assert len(settings_below(made(tmp_path, utils__settings="", **{importer: text}))) == count
