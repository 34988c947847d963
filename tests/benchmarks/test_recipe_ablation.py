"""The ablation of the recipes: its rule, its table, its variants, and that it resumes."""

import json
import subprocess
import sys

import pytest

from benchmarks.paired import ablation_table, compare, verdict_list
from tests.benchmarks.test_side_by_side import result_of
from tests.processes import ROOT
from utils.config import differences

BLOCKS = ("data", "model", "diffusion", "train", "sample", "run")


@pytest.mark.slow
@pytest.mark.parametrize("data_name, figure", [("Mnist_Mini", "told_apart"), ("Emoji", "kid"), ("Student", "fid_4")])
def test_recipe_ablation(tmp_path, data_name, figure):
    """Resumed, it makes only what is missing, in as many steps as before."""
    pytest.importorskip("torch_fidelity")
    from benchmarks.recipe_ablation import VARIANTS

    options = ["--data_name", data_name, "--seconds", "0.3", "--trainings", "1", "--pictures", "70"]
    options += [] if data_name == "Student" else ["--steps", "2"]
    first = result_of(tmp_path, "recipe_ablation", *options)
    assert [row["variant"] for row in first["rows"]] == list(VARIANTS[data_name])
    assert all(row[figure] > 0 for row in first["rows"]) and set(first["steps"]) == set(VARIANTS[data_name])
    record = tmp_path / "result.json"
    record.write_text(json.dumps(first | {"rows": first["rows"][:-1]}))
    again = result_of(tmp_path, "recipe_ablation", *options)
    assert again["rows"][:-1] == first["rows"][:-1] and again["steps"] == first["steps"]
    name = {"Mnist_Mini": "fid", "Emoji": "kid", "Student": "fid_4"}[data_name]
    assert again["rows"][-1][name] == first["rows"][-1][name]  # trained anew, and the same
    command = [
        sys.executable,
        "benchmarks/recipe_ablation.py",
        "--seconds",
        "9",
        "--device",
        "cpu",
        "--output",
        str(record),
    ]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 1 and refused.stderr.startswith("error:") and "seconds" in refused.stderr


def test_a_record_is_gone_on_with_by_more_trainings_and_by_nothing_else(tmp_path):
    pytest.importorskip("torch_fidelity")
    from benchmarks.recipe_ablation import read_record

    record = tmp_path / "record.json"
    asked = {"seconds": 60.0, "trainings": 3}
    assert read_record(record, asked) == {}
    record.write_text(json.dumps(asked))
    assert read_record(record, asked) == read_record(record, asked | {"trainings": 5}) == asked
    for other, name in (({"trainings": 2}, "trainings"), ({"seconds": 9.0, "trainings": 5}, "seconds")):
        with pytest.raises(SystemExit, match=f"was made with other {name};"):
            read_record(record, asked | other)


def test_every_variant_of_a_recipe_changes_what_it_says():
    pytest.importorskip("torch_fidelity")
    from benchmarks.recipe_ablation import RECIPE, SHIPPED, VARIANTS, settings_of

    for data_name, variants in VARIANTS.items():
        more = [f"train.teacher={SHIPPED}"] if data_name == "Student" else []
        recipe = settings_of(data_name, RECIPE, *more)
        for name, changes in variants.items():
            settings = settings_of(data_name, name, *more)
            changed = [line.split(":")[0] for line in differences(recipe, settings, BLOCKS)]
            assert sorted(changed) == sorted(change.split("=")[0] for change in changes), name


def test_a_difference_is_judged_by_student_s_interval():
    """Differences 1, 2, 3: their mean is 2, the standard error 1/sqrt(3), and t of 2 degrees of freedom 4.3027."""
    recipe = [5.0, 5.0, 5.0]
    found = compare([6.0, 7.0, 8.0], recipe, margin=0.5)
    assert found.verdict == "not decided" and found.mean == 2
    assert found.half == pytest.approx(4.30265 / 3**0.5, rel=1e-4)
    assert compare([7.9, 8.0, 8.1], recipe, 0.5).verdict == "worse"
    assert compare([2.9, 3.0, 3.1], recipe, 0.5).verdict == "better"
    assert compare([4.99, 5.0, 5.01], recipe, 0.5).verdict == "as good"
    with pytest.raises(ValueError):
        compare([1.0, 2.0], recipe, 0.5)


def test_the_ablation_s_table_pairs_trainings_by_seed():
    def row(variant, seed, told):
        return {
            "variant": variant,
            "settings": "a.b=1",
            "seed": seed,
            "seconds": 2.0,
            "told_apart": told,
            "confident": 0.5,
        }

    rows = [row("the recipe", 0, 0.5), row("the recipe", 1, 0.9), row("other", 1, 0.7), row("other", 0, 0.4)]
    machine = {"device": "CPU", "cpu": "x", "cores": 2, "threads": 1, "versions": {"torch": "2"}}
    record = {"rows": rows, "steps": {"the recipe": 10, "other": 20}, "real": {}, "margins": {"told_apart": 0.03}}
    record |= {"machine": machine, "command": "c", "date": "d", "clock": "cpu", "trainings": 2, "seconds": 2.0}
    lines = ablation_table(record).splitlines()
    assert lines[2] == "| the recipe | `a.b=1` | 10 | 70.0 % | 50.0 % |  |  |"
    assert lines[3] == "| other | `a.b=1` | 20 | 55.0 % | 50.0 % | -15 ± 64 % | not decided |"
    assert lines[5].startswith("`c`, d; 2 trainings each, of 2 s (") and "margins: told apart 3 %" in lines[5]


def test_verdicts_are_listed_by_figure():
    rows = [
        {"variant": variant, "settings": "", "seed": seed, "seconds": 1.0, "fid": base + seed / 10 + shift * (1 + seed / 100)}
        for variant, base, shift in (("the recipe", 5.0, 0.0), ("wide", 5.0, -2.0), ("old", 5.0, 3.0), ("same", 5.0, 0.0))
        for seed in range(3)
    ]
    lines = verdict_list({"rows": rows, "margins": {"fid": 0.25}}).splitlines()
    assert lines == ["- FID, better: wide", "- FID, as good: same", "- FID, not decided: none", "- FID, worse: old"]
