"""Rectangular pictures, cropped at random, from the folder to every mode, as a user runs it."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from tests.processes import TINY, done, refused, run, train

HEIGHT, WIDTH, SCALE = 12, 20, 5  # and the factor by which they are enlarged: 12 x 5 is 56 or more
COUNT = 70  # above the 64 features of the extractor
ONE = ["--seed", 0, "--sample_info", "DDIM_2_0p0"]


def sheet_size(rows, columns):
    """Width and height of a grid of them, without labels."""
    return 2 + columns * (SCALE * WIDTH + 2), 2 + rows * (SCALE * HEIGHT + 2)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `pictures`, all of a row of light that runs from left to right; config.yaml; and two trainings of them, `run`
    without a stop and `halved`, which was stopped after the first of three steps."""
    place = tmp_path_factory.mktemp("shapes")
    (place / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        height, width = (24, 32) if i % 2 else (32, 24)
        ramp = np.broadcast_to(np.linspace(0, 200, width), (height, width))[..., None] + rng.integers(0, 56, (height, width, 3))
        Image.fromarray(ramp.astype(np.uint8)).save(place / "pictures" / f"{i:02d}.png")
    (place / "config.yaml").write_text(
        f"Train_Data:\n  Mine:\n    data: {{data_path: {place}/pictures, image_size: [{HEIGHT}, {WIDTH}], crop: random, resize: 22,\n"
        f"           cache_dir: {place}/cache}}\n"
        "    model: {channel_mult: [1, 2], num_res_blocks: 1, attention_resolutions: [6], patch_size: 1}\n"
        "    diffusion: {timestep_num: 20}\n"
        f"  Small:\n    data: {{data_path: {place}/pictures, image_size: 8, resize: 9}}\n"
        "    model: {channel_mult: [1], attention_resolutions: []}\n",
        encoding="utf-8",
    )
    options = ["--config", place / "config.yaml"]
    place_of = {"data_name": "Mine", "settings": TINY}
    (place / "printed.txt").write_text(done(train(place / "run", *options, "--max_steps", 3, **place_of)))
    for steps in (1, 3):
        done(train(place / "halved", *options, "--max_steps", steps, **place_of))
    return place


@pytest.fixture(scope="module")
def drawn(place):
    """What five modes wrote, by the end of its name."""
    done(run("test_solver.py", "--model_path", place / "run" / "model.safetensors", *ONE, "--sample_num", 4,
             "--save_dir", place / "drawn", "--test_mode", "random_gen", "interpolate", "inpaint", "edit",
             "reconstruct", cwd=place))  # fmt: skip
    return {path.name.rsplit("_", 1)[1]: Image.open(path) for path in (place / "drawn").iterdir() if path.suffix != ".json"}


def test_a_training_of_rectangles(place):
    assert f"{COUNT} pictures, {HEIGHT}x{WIDTH}, RGB" in (place / "printed.txt").read_text()
    with Image.open(place / "run" / "samples" / "step_000003.png") as sheet:
        assert sheet.size == sheet_size(2, 2)
    with safe_open(place / "run" / "model.safetensors", framework="pt") as file:
        data = json.loads(file.metadata()["settings"])["data"]
    assert data["image_size"] == [HEIGHT, WIDTH] and (data["crop"], data["resize"]) == ("random", 22)
    figures = json.loads((place / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert figures["data_mean_0"] == pytest.approx(0, abs=0.2)


def test_random_crops_go_on_exactly(place):
    one, other = (load_file(place / name / "model.safetensors") for name in ("run", "halved"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    states = [torch.load(place / name / "trainer_state.pt", weights_only=True) for name in ("run", "halved")]
    assert all(torch.equal(states[0]["model"][name], value) for name, value in states[1]["model"].items())


def test_every_picture_of_rectangles_has_its_shape(drawn):
    final, progress, gif = drawn["final.png"], drawn["progress.png"], drawn["progress.gif"]
    assert final.size == sheet_size(2, 2) and gif.size == sheet_size(2, 2) and progress.size == sheet_size(4, 3)
    gif.seek(gif.n_frames - 1)
    last = np.asarray(gif.convert("RGB")).astype(int)
    assert np.abs(last - np.asarray(final)).mean() < 20  # a GIF has 256 colours
    for name, rows, columns in (("interpolate.png", 13, 4), ("inpaint.png", 6, 4), ("edit.png", 5, 4), ("reconstruct.png", 2, 4)):
        width, height = sheet_size(rows, columns)
        assert drawn[name].height == height and width < drawn[name].width < width + 60, name  # the labels
    labels = drawn["inpaint.png"].width - sheet_size(6, 4)[0]

    def cell(name, row, column):
        sheet = np.asarray(drawn[name])
        shift = drawn[name].width - sheet_size(1, 4)[0] if name != "final.png" else 0
        top, left = 2 + row * (SCALE * HEIGHT + 2), shift + 2 + column * (SCALE * WIDTH + 2)
        return sheet[top : top + SCALE * HEIGHT : SCALE, left : left + SCALE * WIDTH : SCALE]

    assert labels > 0
    real, known = cell("inpaint.png", 0, 0), cell("inpaint.png", 1, 0)
    hole = (known == 128).all(axis=2)
    assert hole[3:9, 5:15].all() and hole.sum() == 60  # half of the height and half of the width
    for row in range(2, 6):
        result = cell("inpaint.png", row, 0)
        assert (result[~hole] == real[~hole]).all()
    for row in (0, 12):  # the ends are real pictures: lighter from left to right
        end = cell("interpolate.png", row, 1).mean(axis=(0, 2))
        assert end[-4:].mean() > end[:4].mean() + 30


def test_masks_of_a_file_are_of_the_rectangle_s_size(place, tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, :3] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(mask.T).save(tmp_path / "turned.png")
    Image.new("RGB", (90, 40), "white").save(tmp_path / "mine.png")
    common = ["--model_path", place / "run" / "model.safetensors", *ONE, "--test_mode", "inpaint", "--save_dir", tmp_path / "out"]
    done(run("test_solver.py", *common, "--mask", tmp_path / "mask.png", "--picture", tmp_path / "mine.png"))
    with Image.open(next((tmp_path / "out").iterdir())) as sheet:
        assert sheet.height == sheet_size(6, 1)[1]
        known = np.asarray(sheet)[2 + (SCALE * HEIGHT + 2) :, -SCALE * WIDTH - 2 :][: SCALE * HEIGHT, : SCALE * WIDTH]
    assert (known[:, : 3 * SCALE] == 128).all() and (known[:, 3 * SCALE :] == 255).all()
    refused(run("test_solver.py", *common, "--mask", tmp_path / "turned.png"),
            "turned.png", f"{WIDTH} x {HEIGHT} pixels (height x width)", f"have {HEIGHT} x {WIDTH}")  # fmt: skip


def test_figures_of_rectangles(place):
    out = place / "measured"
    output = done(run("test_solver.py", "--model_path", place / "run" / "model.safetensors", *ONE, "--sample_num", 66, "--split", "train",
                      "--likelihood_steps", 3, "--extractor", "digits", "--save_dir", out,
                      "--test_mode", "evaluate", "likelihood", "compare", "report", cwd=place))  # fmt: skip
    assert "told apart" in output and "bits a dimension" in output
    record = json.loads((out / "run_DDIM_2_0p0_evaluate.json").read_text())
    assert record["figures"]["fid"]["mean"] > 0 and record["told_apart"]["pictures"] == 35
    for name in ("run_DDIM_2_0p0_memorisation.png", "run_DDIM_2_0p0_told_apart.png", "run_likelihood.png"):
        assert (out / name).exists(), name
    with Image.open(out / "compare_grid.png") as grid:  # 4 x 4 pictures at twice their size
        assert grid.width > 2 * 4 * WIDTH and grid.height > 2 * 4 * HEIGHT
    assert f"{HEIGHT}x{WIDTH}, RGB" in (out / "run_report.html").read_text()


def test_other_data_must_have_room_for_the_network_s_rectangle(place, tmp_path):
    refused(run("test_solver.py", "--model_path", place / "run" / "model.safetensors", "--test_mode", "interpolate", "--save_dir", tmp_path,
                "--config", place / "config.yaml", "--data_name", "Small"),
            "--data_name Small does not go with this network's pictures", "data.resize 9", f"it must be at least {WIDTH}")  # fmt: skip


@pytest.mark.parametrize("size, ends", [("12x20", None), ("20x12", "was trained with 12x20"), ("12", "was trained with 12x20")])
def test_the_size_on_the_command_line(place, tmp_path, size, ends):
    process = run("test_solver.py", "--model_path", place / "run" / "model.safetensors", *ONE, "--sample_num", 1, "--image_size", size,
                  "--save_dir", tmp_path)  # fmt: skip
    if ends is None:
        done(process)
    else:
        refused(process, f"--image_size {size}", ends)
