"""The two scripts and the shell scripts, run as a user runs them: tiny, on the CPU, in processes of their own."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from tests.processes import ROOT, TINY, done, run, start_training, train, wait_for
from utils.checkpoints import load_state


def files(folder):
    return sorted(
        os.path.relpath(os.path.join(path, name), folder) for path, _, names in os.walk(folder) for name in names
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The first command of the issue: 20 steps of the embedded digits, at the entry's own network."""
    folder = tmp_path_factory.mktemp("train") / "X"
    process = train(folder, "--max_steps", 20, settings=["train.batch_size=16"])
    return folder, done(process)


def test_a_training_leaves_the_files_it_names(trained):
    folder, output = trained
    found = files(folder)
    assert [name for name in found if not name.startswith("tensorboard/")] == [
        "config.yaml", "log.jsonl", "model.safetensors", "samples/step_000020.png", "trainer_state.pt",
    ]  # fmt: skip
    assert any(name.startswith("tensorboard/events") for name in found)
    for name in ("model.safetensors", "trainer_state.pt", "log.jsonl", "samples/step_000020.png"):
        assert str(folder / name) in output
    lines = [json.loads(line) for line in open(folder / "log.jsonl")]
    assert lines and lines[-1]["step"] == 20 and {"loss", "grad_norm", "pictures_per_second"} < lines[-1].keys()
    with Image.open(folder / "samples/step_000020.png") as sheet:
        assert sheet.size == (242, 242)  # 8 x 8 pictures of 28, with gaps of 2


def test_drawing_leaves_exactly_the_files_of_the_design(trained, tmp_path):
    process = run("test_solver.py", "--model_path", trained[0] / "model.safetensors", "--test_mode", "random_gen", "--sample_info",
                  "DDIM_5_0p0", "--sample_num", 9, "--save_dir", tmp_path / "Y", "--save_images")  # fmt: skip
    output = done(process)
    prefix = "X_DDIM_5_0p0_"
    images = [f"{prefix}images/{i:06d}.png" for i in range(9)]
    named = [f"{prefix}final.png", *images, f"{prefix}progress.gif", f"{prefix}progress.png"]
    assert files(tmp_path / "Y") == sorted(named)
    for name in ("final.png", "progress.png", "progress.gif"):
        assert str(tmp_path / "Y" / (prefix + name)) in output
    final = np.array(Image.open(tmp_path / "Y" / f"{prefix}final.png"))
    assert final.shape == (92, 92)
    assert np.array_equal(final[2:30, 32:60], np.array(Image.open(tmp_path / "Y" / images[1])))
    assert Image.open(tmp_path / "Y" / f"{prefix}progress.png").size == (
        2 + 5 * 30,
        2 + 9 * 30,
    )  # noise; 2, 3, 4, 5 steps
    assert Image.open(tmp_path / "Y" / f"{prefix}progress.gif").n_frames == 5


def test_a_large_request_keeps_a_bounded_grid_and_says_so(tmp_path):
    done(train(tmp_path / "tiny", "--max_steps", 1))
    output = done(run("test_solver.py", "--model_path", tmp_path / "tiny" / "model.safetensors", "--sample_info", "DDIM_1_0p0",
                      "--sample_num", 1100, "--batch_size", 300, "--save_dir", tmp_path / "out"))  # fmt: skip
    assert "the grid shows the first 1,024; --save_images writes every one" in output
    assert Image.open(tmp_path / "out" / "tiny_DDIM_1_0p0_final.png").size == (2 + 32 * 30, 2 + 32 * 30)
    assert Image.open(tmp_path / "out" / "tiny_DDIM_1_0p0_progress.png").size == (2 + 2 * 30, 2 + 64 * 30)


def test_interpolation_is_13_rows_between_originals(trained, tmp_path):
    process = run("test_solver.py", "--model_path", trained[0] / "model.safetensors", "--test_mode", "interpolate", "--sample_info",
                  "DDIM_4_0p0", "--sample_num", 3, "--save_dir", tmp_path)  # fmt: skip
    done(process)
    assert files(tmp_path) == ["X_DDIM_4_0p0_interpolate.png"]
    sheet = np.array(Image.open(tmp_path / "X_DDIM_4_0p0_interpolate.png"))
    assert sheet.shape == (2 + 13 * 30, 2 + 3 * 30)
    digits = np.load(os.path.join(ROOT, "datasets/assets/mnist_mini.npz"))["images"][:7000]
    for row in (0, 12):
        for column in range(3):
            cell = sheet[2 + 30 * row : 30 + 30 * row, 2 + 30 * column : 30 + 30 * column]
            assert (digits == cell).all(axis=(1, 2)).any(), (row, column)


def test_reconstruction_shows_both_rows_and_says_how_well_it_went(trained, tmp_path):
    output = done(run("test_solver.py", "--model_path", trained[0] / "model.safetensors", "--test_mode", "reconstruct", "--sample_info",
                      "DDIM_4_0p0", "--sample_num", 3, "--save_dir", tmp_path))  # fmt: skip
    assert files(tmp_path) == ["X_DDIM_4_0p0_reconstruct.png"]
    assert Image.open(tmp_path / "X_DDIM_4_0p0_reconstruct.png").size == (2 + 3 * 30, 2 + 2 * 30)
    assert all(word in output for word in ("MSE", "PSNR", "Latents: mean", "spread"))


@pytest.mark.parametrize("mode", ["lerp", "slerp", "ddim"])
def test_every_interpolation_prints_its_smoothness(trained, tmp_path, mode):
    output = done(run("test_solver.py", "--model_path", trained[0] / "model.safetensors", "--test_mode", "interpolate", "--sample_info",
                      "DDIM_4_0p0", "--sample_num", 2, "--interpolate_mode", mode, "--interpolate_num", 3, "--save_dir", tmp_path))  # fmt: skip
    assert "pair 0: mean" in output and "pair 1: mean" in output
    assert Image.open(tmp_path / "X_DDIM_4_0p0_interpolate.png").size == (2 + 2 * 30, 2 + 5 * 30)


def test_the_same_command_gives_the_same_bytes_and_a_picture_its_seed(trained, tmp_path):
    pictures = {}
    for name, options in {
        "a": ["--batch_size", 8],
        "b": ["--batch_size", 8],
        "c": ["--batch_size", 1],
        "d": ["--seed", 3],
    }.items():
        count = 5 if name == "d" else 8
        done(run("test_solver.py", "--model_path", trained[0] / "model.safetensors", "--sample_info", "DDPM_5_0p0", "--sample_num",
                 count, "--save_images", "--save_dir", tmp_path / name, *options))  # fmt: skip
        folder = tmp_path / name / "X_DDPM_5_0p0_images"
        pictures[name] = {file: np.array(Image.open(folder / file)).astype(int) for file in os.listdir(folder)}
    assert len(pictures["a"]) == 8 and sorted(pictures["d"]) == [f"{i:06d}.png" for i in range(3, 8)]
    for name, value in pictures["a"].items():
        assert np.array_equal(value, pictures["b"][name])
        # Another batch size is another order of the device's sums: a grey value may round to its neighbour.
        for other in ("c", "d"):
            if name in pictures[other]:
                assert abs(value - pictures[other][name]).max() <= 1
    assert files(tmp_path / "a") == files(tmp_path / "b")
    for name in files(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def same_training(first, second):
    a, b = (load_state(folder / "trainer_state.pt") for folder in (first, second))
    for part in ("model", "ema", "optimizer"):
        torch.testing.assert_close(a[part], b[part], rtol=0, atol=0)
    assert a["step"] == b["step"] and a["loss_sum"] == b["loss_sum"]
    losses = [
        [(line["step"], line["loss"]) for line in map(json.loads, open(folder / "log.jsonl"))]
        for folder in (first, second)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "extra", [["model.dropout=0.2"], ["diffusion.self_condition=true", "diffusion.variance=learned"]]
)
def test_going_on_is_as_if_nothing_had_happened(tmp_path, extra):
    options = [*TINY, "train.log_every=2", *extra]
    done(train(tmp_path / "straight", "--max_steps", 7, settings=options))
    done(train(tmp_path / "halved", "--max_steps", 3, settings=options))
    assert "Going on from step 3" in done(train(tmp_path / "halved", "--max_steps", 7, settings=options))
    same_training(tmp_path / "straight", tmp_path / "halved")
    assert "Nothing left to do" in done(train(tmp_path / "halved", "--max_steps", 7, settings=options))


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_step_and_saves(tmp_path, number, status):
    settings = [*TINY, "train.log_every=1"]
    process = start_training(tmp_path, "--max_steps", 100000, settings=settings)
    wait_for(lambda: (tmp_path / "log.jsonl").exists() and (tmp_path / "log.jsonl").stat().st_size > 0)
    process.kill(number)
    ended = process.wait(60)
    assert ended.returncode == status
    step = load_state(tmp_path / "trainer_state.pt")["step"]
    assert step >= 1 and f"after step {step:,} of 100,000" in ended.stdout
    assert f"Going on from step {step:,}" in done(train(tmp_path, "--max_steps", step + 1, settings=settings))


def test_a_folder_of_mixed_pictures_trains_by_five_lines(tmp_path):
    pictures = tmp_path / "pictures" / "deep"
    pictures.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i, (size, mode, ending) in enumerate(
        [
            ((40, 30), "RGB", "png"),
            ((20, 50), "RGB", "JPG"),
            ((33, 33), "P", "png"),
            ((64, 20), "L", "png"),
            ((9, 9), "RGBA", "webp"),
        ]
    ):
        image = (
            Image.fromarray(rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)).convert("RGB").convert(mode)
        )
        image.save(pictures / f"{i}.{ending}")
    config = tmp_path / "config.yaml"
    config.write_text(f"Train_Data:\n  Mine:\n    data:\n      data_path: {tmp_path}/pictures\n      image_size: 16\n")
    options = ["model.base_channels=8", "model.norm_groups=4", f"data.cache_dir={tmp_path}/cache", "sample.sample_num=2",
               "sample.sample_info=DDIM_2_0p0", "train.batch_size=8"]  # fmt: skip
    output = done(train(tmp_path / "run", "--config", config, "--max_steps", 2, data_name="Mine", settings=options))
    assert "5 pictures" in output and (tmp_path / "run" / "samples" / "step_000002.png").exists()
    process = run("test_solver.py", "--model_path", tmp_path / "run" / "model.safetensors", "--test_mode", "interpolate",
                  "--sample_info", "DDIM_2_0p0", "--sample_num", 2, "--save_dir", tmp_path / "out")  # fmt: skip
    done(process)
    assert Image.open(tmp_path / "out" / "run_DDIM_2_0p0_interpolate.png").size == (2 + 2 * 18, 2 + 13 * 18)


def test_a_dry_run_says_everything_and_leaves_nothing(tmp_path):
    output = done(train(tmp_path / "run", "--dry_run", "--set", "train.learning_rate=1e-4"))
    for words in (
        "7,000 pictures",
        "parameters",
        "1,750.0 an epoch",
        f"{tmp_path}/run",
        "learning_rate: 0.0001",
        "source: mnist_mini",
    ):
        assert words in output, words
    assert os.listdir(tmp_path) == []
