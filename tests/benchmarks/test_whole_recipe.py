"""Recipes compared at their whole length: that it goes on, and that its variants are what they say."""

import json

import pytest

from tests.benchmarks.test_recipe_ablation import BLOCKS
from tests.benchmarks.test_side_by_side import result_of
from utils.config import differences


@pytest.mark.slow
def test_trainings_are_made_once_and_measured(tmp_path):
    pytest.importorskip("torch_fidelity")
    options = ["--data_name", "Student", "--trainings", "1", "--max_steps", "2", "--pictures", "70", "--at_once", "2"]
    options += ["--runs", str(tmp_path / "runs")]
    first = result_of(tmp_path, "whole_recipe", *options)
    assert {row["variant"] for row in first["rows"]} == set(first["steps"]) and set(first["steps"].values()) == {2}
    assert all(row["fid_1"] > 0 and row["fid_4"] > 0 for row in first["rows"])
    record = tmp_path / "result.json"
    record.write_text(json.dumps(first | {"rows": first["rows"][1:]}))
    again = result_of(tmp_path, "whole_recipe", *options)  # of a training that is there, drawn from and measured anew
    found, expected = ({row["variant"]: row["fid_4"] for row in result["rows"]} for result in (again, first))
    assert found == expected


def test_every_variant_changes_what_it_says():
    pytest.importorskip("torch_fidelity")
    from benchmarks.whole_recipe import RECIPES, settings_of

    for data_name, recipe in RECIPES.items():
        base, *others = recipe.variants
        assert recipe.variants[base] == []
        for name in others:
            changed = [line.split(":")[0] for line in differences(settings_of(data_name, base), settings_of(data_name, name), BLOCKS)]
            assert sorted(changed) == sorted(change.split("=")[0] for change in recipe.variants[name]), name
