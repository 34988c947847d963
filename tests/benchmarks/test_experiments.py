"""The experiments: their table is sound, their verdicts follow from the figures, and the page says what the files say."""

import argparse
import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.experiments import page
from benchmarks.experiments.claims import (
    FAILS,
    HOLDS,
    OPEN,
    Table,
    each_off_claims,
    loss_claims,
    part_claims,
    sampler_claims,
)
from benchmarks.experiments.mistake import wrong_ddpm
from benchmarks.experiments.run import stages
from benchmarks.experiments.table import (
    BASE,
    BOUNDS,
    COMMON,
    COMPARISONS,
    DATA,
    EXPERIMENTS,
    GROUPS,
    of_data,
    variants,
)
from diffusion import GaussianDiffusion, SampleInfo, make_betas, sample
from tests.processes import ROOT
from utils.config import differences, load_settings

DATA_NAMES = [*DATA, "Cifar10", "Flower102"]
BLOCKS = ("data", "model", "diffusion", "train", "sample", "run")


@pytest.mark.parametrize("data_name", DATA_NAMES)
def test_every_variant_is_a_training_that_differs_from_the_base_by_its_own_changes(data_name):
    base = load_settings("config.yaml", data_name, [*COMMON, *of_data(data_name).settings])
    for experiment in of_data(data_name).experiments:
        for name, overrides in variants(data_name, experiment).items():
            settings = load_settings("config.yaml", data_name, overrides)
            changes = next(group[name] for group in GROUPS.values() if name in group)
            changed = [line.split(":")[0] for line in differences(base, settings, BLOCKS)]
            assert sorted(changed) == sorted(change.split("=")[0] for change in changes), name
    assert BASE in GROUPS["losses"] and GROUPS["losses"][BASE] == []


def test_every_comparison_names_variants_that_are_trained_and_samplers_that_exist():
    trained = {name for group in GROUPS.values() for name in group}
    assert {name for groups in EXPERIMENTS.values() for name in groups} == set(GROUPS)
    for comparisons in COMPARISONS.values():
        for wanted in comparisons.values():
            assert all(str(SampleInfo.parse(text)) == text for text in wanted.samplers)
            assert set(wanted.variants or ()) <= trained


def commands(data_name, chosen):
    args = argparse.Namespace(runs=Path("runs"), output=Path("out"), steps=400, pictures=80)
    return stages(data_name, chosen, args)


def test_trainings_come_first_and_comparisons_are_of_what_they_leave():
    trainings, drawings = commands("Mnist_Mini", list(EXPERIMENTS))
    left = {f"{words[words.index('--save_dir') + 1]}/model.safetensors" for _, words in trainings}
    assert len(left) == len(trainings) == sum(len(group) for group in GROUPS.values())
    for _, words in drawings:
        for word in words:
            if word.startswith("runs/"):
                assert word.replace("trainer_state.pt", "model.safetensors") in left
    by_name = {str(log.parent): shlex.join(words) for log, words in drawings}
    assert "--sample_num 20 --repeats 1" in by_name["out/Mnist_Mini/many_steps"]
    assert "DDPM_1000_0p0" in by_name["out/Mnist_Mini/many_steps"]
    assert "--weights raw" in by_name["out/Mnist_Mini/ema_off"]
    assert "--clip_denoised false" in by_name["out/Mnist_Mini/clip_off"]
    bounds = [log.stem for log, words in drawings if "likelihood" in words]
    assert bounds == [BASE, *BOUNDS]


def test_another_data_set_takes_part_in_everything_with_its_own_base():
    trainings, drawings = commands("Cifar10", list(EXPERIMENTS))
    assert len(trainings) == sum(len(group) for group in GROUPS.values())
    assert any(
        f"runs/Cifar10/{BASE}/model.safetensors" in words for log, words in drawings if log.parent.name == "few_steps"
    )


def exact_denoiser(diffusion, point):
    """Predicts the noise for data that is one point."""

    def network(x, t):
        ab = diffusion.alpha_bar(t)
        return ((x - ab**0.5 * point) / (1 - ab) ** 0.5).to(x.dtype)

    return network


def test_the_mistake_is_none_at_every_step_and_leaves_noise_at_few():
    diffusion = GaussianDiffusion(make_betas("cosine", 200))
    point = torch.full((4, 1, 6, 6), 0.5, dtype=torch.float64)
    x_T = torch.randn(point.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    network = exact_denoiser(diffusion, point)

    def noise():
        stream = torch.Generator().manual_seed(1)
        return lambda x: torch.randn(x.shape, generator=stream, dtype=x.dtype)

    def right(steps):
        return sample(network, diffusion, x_T, SampleInfo("DDPM", steps, 0.0), noise_like=noise())

    torch.testing.assert_close(wrong_ddpm(network, diffusion, x_T, 200, noise()), right(200), rtol=0, atol=1e-10)
    torch.testing.assert_close(right(10), point, rtol=0, atol=1e-10)
    assert (wrong_ddpm(network, diffusion, x_T, 10, noise()) - point).std() > 0.2


def write_table(folder, rows):
    """A compare_table.csv of {(model, sampler): {figure: (mean, std)}}, with the files that stand beside it."""
    folder.mkdir(parents=True)
    flat = []
    for (model, sampler), figures in rows.items():
        row = {
            "model": model,
            "sampler": sampler,
            "cell": f"{model}_cell",
            "step": "400" if sampler else "",
            "network_calls": sampler.split("_")[1] if sampler else "",
        }
        for name, (mean, std) in figures.items():
            row |= {name: mean, f"{name}_std": std}
        flat.append(row)
    with (folder / "compare_table.csv").open("w") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in flat for name in row)))
        writer.writeheader()
        writer.writerows(flat)
    (folder / "compare_table.md").write_text(f"| table of {folder.name} |\n|---|\n")
    (folder / "output.txt").write_text(f"$ python test_solver.py --save_dir {folder.name}\nmore\n")
    Image.new("RGB", (30, 30)).save(folder / "compare_grid.png")


S = "DPMPP_20_0p0"


def fids(folder, **values):
    figures = {model: {"fid": (mean, 0.1), "grain": (0.07, 0.001)} for model, mean in {**values, "real: X": 1}.items()}
    write_table(folder, {(model, "" if model == "real: X" else S): row for model, row in figures.items()})
    return Table(folder)


def verdicts(claims):
    return {claim.text: claim.verdict for claim in claims}


def test_a_difference_counts_only_beyond_the_deviations_of_sets_and_trainings(tmp_path):
    losses = fids(tmp_path / "losses", l2_cosine=5.0, l2_linear=5.9, l1_cosine=5.0, l1_linear=8.0)
    alone = verdicts(loss_claims(losses, Table(tmp_path / "none"), colour=False))
    assert {text: alone[text] for text in alone if "as good" in text} == {
        "On grey pictures l1_linear is as good as l1_cosine": FAILS, "On grey pictures l2_linear is as good as l2_cosine": FAILS,
    }  # 0.9 and 3.0 are beyond 6 * 0.1 * sqrt(2)  # fmt: skip
    seeds = fids(tmp_path / "seeds", l2_cosine_seed1=5.5, l2_cosine_seed2=6.0)  # trainings lie 0.5 apart
    known = verdicts(loss_claims(losses, seeds, colour=False))
    assert {text: known[text] for text in known if "as good" in text} == {
        "On grey pictures l1_linear is as good as l1_cosine": FAILS,
        "On grey pictures l2_linear is as good as l2_cosine": HOLDS,
    }


def test_washed_out_means_lighter_and_less_colourful(tmp_path):
    def row(light, chroma, edges, grain):
        figures = {"red": light, "green": light, "blue": light, "chroma": chroma, "edges": edges, "grain": grain}
        return {name: (value, 0.01) for name, value in figures.items()}

    models = {"l1_linear": row(0.9, 0.1, 0.1, 0.1), "l1_cosine": row(0.7, 0.3, 0.1, 0.1), "l2_linear": row(0.7, 0.3, 0.2, 0.1),
              "l2_cosine": row(0.7, 0.3, 0.2, 0.0)}  # fmt: skip
    write_table(tmp_path / "t", {(m, S): r for m, r in models.items()} | {("real: X", ""): row(0.7, 0.3, 0.15, 0.05)})
    found = verdicts(loss_claims(Table(tmp_path / "t"), Table(tmp_path / "none"), colour=True))
    assert [found[text] for text in sorted(found) if "washed out" in text] == [HOLDS, FAILS]
    assert found["L2 is sharper than L1 (cosine)"] == found["L2 is sharper than L1 (linear)"] == HOLDS
    assert found["L2 is dirtier than L1 (cosine)"] == FAILS and found["L2 is dirtier than L1 (linear)"] == OPEN
    models["l2_linear"]["grain"] = (0.2, 0.01)  # four times the data's: noise, of which nothing can be said
    write_table(
        tmp_path / "noise", {(m, S): r for m, r in models.items()} | {("real: X", ""): row(0.7, 0.3, 0.15, 0.05)}
    )
    unfinished = loss_claims(Table(tmp_path / "noise"), Table(tmp_path / "none"), colour=True)
    assert set(verdicts(unfinished).values()) == {OPEN} and "still noise" in unfinished[0].evidence


def chain_table(folder):
    figures = {"DDPM_50_0p0": (3.0, 0.071, 0.5), "DDIM_50_0p0": (3.1, 0.07, 0.5), "DDIM_50_1p0": (2.0, 0.07, 0.5), "UNIPC_8_0p0": (3.2, 0.07, 0.1),
               "UNIPC_5_0p0": (9.0, 0.07, 0.1)}  # fmt: skip
    rows = {("m", sampler): {"fid": (fid, 0.1), "kid": (0.01 * fid, 0.001), "grain": (grain, 0.001), "seconds_a_picture": (s, ""), "confident": (0.7, 0.02)}
            for sampler, (fid, grain, s) in figures.items()}  # fmt: skip
    write_table(folder, rows | {("real: X", ""): {"fid": (1, 0.1), "grain": (0.07, ""), "confident": (0.9, 0.01)}})
    return Table(folder)


def test_the_claims_of_the_samplers(tmp_path):
    few = chain_table(tmp_path / "few")
    write_table(tmp_path / "many", {("m", "DDPM_1000_0p0"): {"grain": (0.07, ""), "seconds_a_picture": (10.0, "")}})
    claims = sampler_claims(
        few,
        Table(tmp_path / "none"),
        Table(tmp_path / "many"),
        "m",
        {"posterior of one step, 50 steps": {"grain": 0.4}},
    )
    found = verdicts(claims)
    assert found["DDPM of few steps is noise"] == FAILS and "0.4" in claims[0].evidence
    assert found["DDIM is good at 50 steps (no worse than DDPM at 50)"] == HOLDS
    assert found["DDIM_50 is at least 20 times faster than DDPM_1000"] == HOLDS
    assert found["eta makes little difference"] == FAILS
    assert "UNIPC_8_0p0, 8 calls" in claims[-1].evidence and claims[-1].verdict == HOLDS


def test_a_page_shows_what_is_there_and_every_link_of_it_leads_somewhere(tmp_path):
    output = tmp_path / "docs" / "experiments"
    folder = output / "Mnist_Mini"
    losses = fids(folder / "losses", l2_cosine=5.0, l1_cosine=5.0)
    on, parts = fids(folder / "all_on", p2=6.0), fids(folder / "parts", min_snr=3.0)
    raw = fids(folder / "ema_off", p2=9.0)
    none = Table(tmp_path / "none")
    found = verdicts(each_off_claims(losses, none, on, raw, none) + part_claims(losses, none, parts, none))
    assert found["Without EMA there is no clear difference"] == FAILS
    assert found["(ours) Min-SNR weighting improves on l2_cosine"] == HOLDS and "clipping" not in "".join(found)
    (folder / "interpolate" / "slerp_500").mkdir(parents=True)
    (folder / "interpolate" / "slerp_500" / "output.txt").write_text(
        "$ python test_solver.py x\n  all: mean 0.050, largest 0.150 (averaged over pairs)\n"
    )
    Image.new("L", (5, 5)).save(folder / "interpolate" / "slerp_500" / "m_interpolate.png")
    (folder / "likelihood").mkdir()
    (folder / "likelihood" / f"{BASE}.txt").write_text("$ python test_solver.py --test_mode likelihood\n")
    bits = {"mean": 4.0, "standard_error": 0.1, "decoder": 1.0, "terms": [0.5, 0.25, 0.125]}
    record = {"bits_per_dimension": bits, "protocol": {"strata": [[1, 1], [2, 9], [10, 20]]}}
    (folder / "likelihood" / f"{BASE}_likelihood.json").write_text(json.dumps(record))
    subprocess.run([sys.executable, page.__file__, str(output)], check=True, cwd=ROOT)
    text = (tmp_path / "docs" / "experiments.md").read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("../")]
    assert links and all((tmp_path / "docs" / link).exists() for link in links)
    assert "| l2_cosine | 4.000 ± 0.100 | 3.500 |" in text  # of t < 10: the decoder, 0.5, and 0.25 for each of 8 timesteps
    assert "| `slerp` | 500 | 0.050 | 0.150 | 3.0 |" in text and "table of losses" in text
    assert "trained for 400 steps" in text and "compare_cells" not in text  # which a fresh clone has not
    assert "Samplers and steps" not in text and "Emoji" not in text  # what was not run is not claimed


@pytest.mark.slow
def test_the_experiments_run_resume_and_write_their_page(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable, "DATA_NAMES": "Mnist_Mini", "EXPERIMENTS": "losses interpolate", "STEPS": "4",
                   "PICTURES": "33", "JOBS": "2", "RUNS": str(tmp_path / "runs"), "OUTPUT": str(tmp_path / "docs" / "experiments")}  # fmt: skip
    for _ in range(2):
        process = subprocess.run(
            ["bash", "run_experiments.sh"], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert process.returncode == 0, process.stderr
    folder = tmp_path / "docs" / "experiments" / "Mnist_Mini"
    assert "of which 4 are there already" in (folder / "losses" / "output.txt").read_text()
    assert "Nothing left to do" in (tmp_path / "runs" / "Mnist_Mini" / f"{BASE}.txt").read_text()
    text = (tmp_path / "docs" / "experiments.md").read_text()
    assert all(
        word in text
        for word in ("l1_linear", "slerp_500", "compare_grid.png", "python test_solver.py --test_mode compare")
    )
