"""A mode as test_solver.py calls it, in this process."""

import importlib
from pathlib import Path

from modes import MODES
from modes.options import OPTIONS
from utils.distributed import Ranks


def run_mode(name, *chosen, **options) -> list[Path]:
    """`chosen`: the model and the sampler, or lists of them; options that are not given have their defaults."""
    defaults = {option: OPTIONS[option].default for option in MODES[name].options}
    shared = {"ranks": Ranks("cpu")} if MODES[name].shared else {}
    return importlib.import_module(f"modes.{name}").run(*chosen, **defaults | shared | options)
