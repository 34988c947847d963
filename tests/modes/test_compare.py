"""Comparisons: what a cell is keyed by, that it is kept, and that its figures are those of its pictures."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from datasets import ImageDataset
from diffusion import SampleInfo
from evaluation import cells, two_sample
from evaluation.appearance import appearance
from evaluation.cells import Cell
from evaluation.drawn import draw_pictures, network_calls
from evaluation.extractor import load_extractor
from evaluation.measures import measure
from evaluation.picture_metrics import PictureMetrics, SeedSets, find_extractor
from evaluation.reference import load_real
from evaluation.sheets import FONT_SIZE, MARGIN, SCALE, Sheet, labelled_grid
from models import build_model
from modes import compare
from modes.model import load_model
from tests.mode import run_mode
from tests.processes import TINY, done, refused, run
from utils.config import load_settings
from utils.errors import RequestError
from utils.files import keep_other

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two tiny networks of other weights."""
    folder, paths = tmp_path_factory.mktemp("models"), []
    for seed, name in enumerate(("one", "two")):
        # An untrained network gives zeros: as v they leave some noise in the pictures, as x_0 none.
        settings = load_settings("config.yaml", "Mnist_Mini", [*TINY, "diffusion.objective=pred_v", "diffusion.loss_of_clipped=false", "model.num_classes=0", "sample.sample_info=DDIM_2_0p0"])
        torch.manual_seed(seed)
        model = build_model(**settings.model_arguments())
        paths.append(folder / f"{name}.safetensors")
        save_file(
            model.state_dict(), paths[-1], {"settings": settings.model_dump_json(), "step": "7", "weights": "ema"}
        )
    return paths


def loaded(path, clip=None):
    return load_model(path, device=CPU, precision="fp32", clip_denoised=clip)


def run_compare(folder, models, samplers, **changes):
    return run_mode(
        "compare", models, samplers, **{"save_dir": str(folder), "sample_num": 66, "batch_size": 66, **changes}
    )


def rows(folder):
    return list(csv.DictReader((Path(folder) / "compare_table.csv").open()))


SAMPLERS = [SampleInfo.parse("DDIM_1_0p0"), SampleInfo.parse("HEUN_2_0p0")]


@pytest.fixture(scope="module")
def compared(models, tmp_path_factory):
    """Two checkpoints and two samplers, and how often something was drawn."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_sample, "STEPS", 30)  # whether they are told apart is not asked here
        return folder, run_compare(folder, [loaded(path) for path in models], SAMPLERS)


def announced(text):
    """The names of the files in compare's line Output."""
    line = next(line for line in text.splitlines() if line.startswith("Output:"))
    return [f"compare_{word.strip(' ,;').rpartition('compare_')[2].lstrip('_')}" for word in line.split(";")[0].split(",")]


def test_a_comparison_leaves_a_grid_a_table_a_plot_and_its_cells(compared):
    folder, paths = compared
    assert [path.name for path in paths] == [
        "compare_grid.png",
        "compare_told_apart.png",
        "compare_table.md",
        "compare_table.csv",
        "compare_plot.png",
    ]
    assert all(path.is_file() for path in paths)
    assert (
        sorted(path.suffix for path in (folder / "compare_cells").iterdir())
        == [".json"] * 4 + [".npz"] * 4 + [".png"] * 8
    )
    table = rows(folder)
    assert [(row["model"], row["sampler"]) for row in table] == [
        ("one", "DDIM_1_0p0"), ("one", "HEUN_2_0p0"), ("two", "DDIM_1_0p0"), ("two", "HEUN_2_0p0"), ("real: Mnist_Mini", ""),
    ]  # fmt: skip
    assert [row["network_calls"] for row in table] == ["1", "3", "1", "3", ""]
    text = (folder / "compare_table.md").read_text()
    for word in (
        "66 pictures a row",
        "ema weights",
        "mnist_mini, train split",
        "digits, 64 features",
        "told apart",
        "real: Mnist_Mini",
    ):
        assert word in text, word


def test_a_cell_holds_the_figures_of_the_pictures_that_are_drawn_from_its_seeds(compared, models):
    folder, _ = compared
    (trained, settings), extractor = loaded(models[1]), load_extractor("digits")
    drawn = draw_pictures(trained, SAMPLERS[1], range(66), 66).pictures
    wanted = measure(
        drawn, load_real(ImageDataset(**settings.data.model_dump()), "train", extractor).features, extractor, seed=0
    ) | appearance(drawn)
    row = rows(folder)[3]
    for name in ("fid", "kid", "precision", "recall", "confident", "grey", "edges", "grain"):
        assert float(row[name]) == pytest.approx(wanted[name], rel=1e-6), name
    assert "kid_std" not in row  # one lot has no spread, and that of KID's subsets is another
    with np.load(folder / "compare_cells" / f"{row['cell']}.npz") as kept:
        assert np.array_equal(kept["pictures"], drawn.numpy())


def test_a_cell_says_whether_its_pictures_are_told_from_real_ones(compared):
    """Untrained networks draw noise or nothing: that is seen at once."""
    folder, _ = compared
    for row in rows(folder)[:4]:
        assert float(row["told_apart"]) > 0.9 and float(row["told_apart_low"]) > 0.8
        record = json.loads((folder / "compare_cells" / f"{row['cell']}.json").read_text())
        assert record["told_apart"]["pictures"] == 66 and record["step"] == int(row["step"]) == 7
        assert record["floor"]["held_out"] == record["protocol"]["held_out"] == "mnist_mini, test split"
        assert (folder / "compare_cells" / f"{row['cell']}_told_apart.png").is_file()


def test_what_is_done_is_not_done_again_and_what_changed_is(models, tmp_path, monkeypatch):
    """With few pictures: an extractor would only take longer."""
    drawn, draws = [], cells.draw_pictures
    monkeypatch.setattr(cells, "draw_pictures", lambda *arguments: drawn.append(arguments[1:3]) or draws(*arguments))

    def again(**changes):
        drawn.clear()
        run_compare(tmp_path, [loaded(models[0])], SAMPLERS, **{"sample_num": 5, **changes})
        return [(str(info), seeds) for info, seeds in drawn]

    assert again() == [("DDIM_1_0p0", range(5)), ("HEUN_2_0p0", range(5))]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert again() == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before

    first = tmp_path / "compare_cells" / f"{rows(tmp_path)[0]['cell']}.json"
    whole = first.read_bytes()
    first.write_bytes(whole[:100])  # damaged: measured again, of the pictures that were kept
    assert again() == [] and first.read_bytes() == whole
    first.unlink()
    first.with_suffix(".npz").write_bytes(b"PK no more")
    assert again() == [("DDIM_1_0p0", range(5))]

    assert [seeds for _, seeds in again(sample_num=6)] == [range(6), range(6)]
    assert [seeds for _, seeds in again(seed=1, repeats=2)] == [range(1, 6), range(6, 11)] * 2


def test_a_cell_is_another_with_another_checkpoint_clipping_or_precision(models, tmp_path):
    seed_sets = SeedSets(0, 66, 1)
    one = loaded(models[0]).trained
    different = [one, loaded(models[1]).trained, loaded(models[0], clip=False).trained, one._replace(precision="bf16"),
                 one._replace(weights="raw")]  # fmt: skip
    assert len({Cell(tmp_path, trained, SAMPLERS[0], seed_sets).stem for trained in different}) == 5
    assert (
        Cell(tmp_path, loaded(models[0]).trained, SAMPLERS[0], seed_sets).stem
        == Cell(tmp_path, different[0], SAMPLERS[0], seed_sets).stem
    )


def test_too_few_pictures_for_a_covariance_leave_the_figures_of_the_pixels_and_say_so(models, tmp_path, capsys):
    paths = run_compare(tmp_path, [loaded(models[0])], SAMPLERS[:1], sample_num=5)
    output = capsys.readouterr().out
    assert "no FID and the like: digits (64 features" in output
    assert announced(output) == [path.name for path in paths] and not any("told_apart" in path.name for path in paths)
    assert "fid" not in rows(tmp_path)[0] and float(rows(tmp_path)[0]["grain"]) > 0
    with pytest.raises(RequestError, match="extractor"):
        find_extractor("mnist_mini", "none", None, CPU, 66)


@pytest.mark.parametrize("text", ["DDPM_5_0p0", "DDIM_5_0p0", "DPMPP_5_0p0", "HEUN_5_0p0", "UNIPC_5_0p0"])
def test_the_calls_that_are_announced_are_the_calls_that_are_made(models, text):
    info = SampleInfo.parse(text)
    told = []
    draw_pictures(loaded(models[0]).trained, info, range(3), 2, told.append)
    assert 3 * network_calls(loaded(models[0]).trained, info) == 3 * info.network_calls == sum(told)


def sheet(model, sampler, steps, value):
    """A picture of a colour that no letter's edge has."""
    picture = torch.tensor([value, 0, 255], dtype=torch.uint8).view(3, 1, 1).expand(3, 10, 12)
    return Sheet(model, sampler, str(steps), picture)


def places(drawn, value):
    """Where that picture is: (points, 2), from the upper left on."""
    return ((drawn[0] == value) & (drawn[1] == 0) & (drawn[2] == 255)).nonzero()


def test_one_checkpoint_is_laid_out_by_sampler_and_steps():
    drawn = labelled_grid([sheet("m", "DDIM", 50, 10), sheet("m", "DDIM", 5, 20), sheet("m", "HEUN", 50, 30)], 6)
    left, top = drawn.shape[2], drawn.shape[1]
    where = {value: places(drawn, value) for value in (10, 20, 30)}
    assert all(len(found) == SCALE * SCALE * 120 for found in where.values())
    (y50, x50), (y5, x5), (yh, xh) = (where[value][0].tolist() for value in (10, 20, 30))
    assert y50 == y5 and x5 < x50 == xh and yh > y50  # 5 steps stand left of 50, HEUN below DDIM
    assert y50 >= FONT_SIZE and (drawn[:, : y50 - 1] < 128).any()  # the steps' names above
    assert (drawn[:, yh:, : x5 - MARGIN] < 128).any() and x50 < left and yh < top  # the samplers' names on the left


def test_several_checkpoints_with_one_sampler_follow_one_another_with_their_names():
    drawn = labelled_grid([sheet(f"m{i}", "DDIM", 50, 10 + i) for i in range(3)], 2)
    corners = [places(drawn, 10 + i)[0].tolist() for i in range(3)]
    assert corners[0][0] == corners[1][0] and corners[0][1] == corners[2][1] and corners[2][0] > corners[0][0]
    assert (drawn[:, : corners[0][0], corners[0][1] :] < 128).any()


def test_the_command_compares_and_refuses(models, tmp_path):
    output = done(run("test_solver.py", "--test_mode", "compare", "--model_path", *models, "--sample_info", "DDIM_1_0p0", "DDPM_2_0p0",
                      "--sample_num", 4, "--save_dir", tmp_path / "out"))  # fmt: skip
    assert "Cells:   4, of which 0 are there already" in output and str(tmp_path / "out" / "compare_grid.png") in output
    with Image.open(tmp_path / "out" / "compare_grid.png") as grid:
        assert grid.mode == "RGB"
    several = run("test_solver.py", "--model_path", *models, "--save_dir", tmp_path / "refused")
    refused(several, "--model_path", "several belong to --test_mode compare, not random_gen")
    assert not (tmp_path / "refused").exists()


def test_checkpoints_that_cannot_be_compared(models):
    with pytest.raises(RequestError, match=r"other pictures \(Emoji\)"):
        compare.check_alike([loaded(models[0]), loaded("checkpoints/emoji.safetensors")])
    with pytest.raises(RequestError, match="2 checkpoints are called one"):
        compare.check_alike([loaded(models[0]), loaded(models[1]), loaded(models[0])])


@pytest.mark.parametrize(
    "there, now, kept",
    [("ab", "ab", False), ("a", "ab", False), ("ab", "a", True), ("a", "b", True), ("", "a", True)],
)
@pytest.mark.parametrize("other_protocol", [False, True])
def test_a_comparison_of_other_cells_or_by_another_protocol_is_put_aside(tmp_path, monkeypatch, there, now, kept, other_protocol):
    """One of more cells takes the place of a smaller one, measured alike."""
    monkeypatch.setattr(compare, "describe_records", lambda records: "seen through {protocol}; {weights} weights".format(**records[0]))
    (tmp_path / "compare_table.csv").write_text("model,cell\n" + "".join(f"m,{cell}\n" for cell in there))
    (tmp_path / "compare_table.md").write_text("| model |\n\nseen through digits; ema weights\n")
    (tmp_path / "compare_grid.png").touch()
    record = {"protocol": "clothes" if other_protocol else "digits", "weights": "ema"}
    same = compare.holds_the_same(tmp_path, [SimpleNamespace(stem=f"cells/{cell}", record=record) for cell in now])
    keep_other([tmp_path / f"compare_{name}" for name in compare.FILES], same)
    assert (tmp_path / "compare_grid.1.png").exists() == (tmp_path / "compare_table.1.md").exists() == (kept or other_protocol)
    assert (tmp_path / "compare_grid.png").exists() != (kept or other_protocol)


def test_a_comparison_of_scales_of_guidance_draws_quality_against_variety(tmp_path, monkeypatch, capsys):
    """One curve: what is not guided belongs to the interval's, too; the plot's points are the records' figures."""
    monkeypatch.setattr(PictureMetrics, "told_apart", lambda *_: None)  # takes seconds, and is tested elsewhere
    settings = load_settings("config.yaml", "Mnist_Mini", TINY)
    torch.manual_seed(0)
    path = tmp_path / "guided.safetensors"
    weights = build_model(**settings.model_arguments()).state_dict()
    save_file(weights, path, {"settings": settings.model_dump_json(), "step": "7", "weights": "ema"})
    samplers = [SampleInfo.parse(f"DDIM_1_0p0{scale}") for scale in ("_cfg4p0t0t7", "", "_cfg1p5t0t7")]
    paths = run_compare(tmp_path, [loaded(path)], samplers)
    assert paths[-1].name == "compare_guidance.png" and paths[-1].is_file()
    assert announced(capsys.readouterr().out)[-1] == "compare_guidance.png"
    few = run_compare(tmp_path / "few", [loaded(path)], samplers, sample_num=5)
    assert announced(capsys.readouterr().out) == [path.name for path in few] and few[-1].name == "compare_plot.png"
    cells = [Cell(tmp_path / "compare_cells", loaded(path).trained, info, SeedSets(0, 66, 1)) for info in samplers]
    ((key, found),) = compare.by_sampler(cells).items()
    assert key == ("guided", "DDIM_1_0p0", (0, 7)) and [cell.info.guidance.scale for cell in found] == [1, 1.5, 4]
    for k, cell in enumerate(cells):
        cell.record = json.loads(Path(f"{cell.stem}.json").read_text())
        cell.record["figures"] |= {"recall": {"mean": k, "std": None}, "precision": {"mean": k + 3, "std": 0.5}}
    axes = compare.guidance_plot(cells).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[1, 4], [2, 5], [0, 3]]  # by scale
    assert [note.get_text() for note in axes.texts] == ["1", "1.5", "4"]
