"""The page for those who import it: every block of it runs, and does what the sentence beside it says."""

import os
import re

import pytest
import torch

from tests.processes import ROOT


def blocks_of(name: str) -> list[str]:
    with open(f"{ROOT}/docs/{name}", encoding="utf-8") as page:
        return re.findall(r"^```python\n(.*?)^```$", page.read(), re.MULTILINE | re.DOTALL)


def test_both_languages_show_the_same_code():
    assert blocks_of("library.md") == blocks_of("library_zh.md") and len(blocks_of("library.md")) == 5


def test_every_block_runs_and_gives_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.symlink(f"{ROOT}/checkpoints", "checkpoints")
    names: dict[str, object] = {}
    for block in blocks_of("library.md"):
        exec(compile(block, "docs/library.md", "exec"), names)
    assert capsys.readouterr().out.startswith("Mnist_Mini (1, 28, 28)")
    assert names["pictures"].shape == (16, 1, 28, 28) and names["pictures"].dtype == torch.uint8
    assert os.listdir() != [] and os.path.getsize("digits.png") > 0
    assert len(names["seen"]) == 20
    difference = names["walked"].int() - names["to_uint8"](names["sample"](*arguments_of(names))).int()
    assert difference.abs().max() <= 1  # the same steps, in sums of another order
    assert names["own"].shape == (4, 1, 16, 16) and names["loss"].item() == pytest.approx(1, abs=1)


def arguments_of(names: dict) -> tuple:
    """Of `sample`, with the diffusion of the loaded model: a later block has one of its own."""
    return names["network"], names["trained"].diffusion, names["x_T"], names["SampleInfo"]("DDIM", 20, 0.0)
