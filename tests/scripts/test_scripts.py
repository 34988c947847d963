"""The two scripts and the shell scripts, run as a user runs them: tiny, on the CPU, in processes of their own."""

import hashlib
import json
import os
import signal

import numpy as np
import pytest
from PIL import Image

from tests.processes import ROOT, TINY, done, files, run, start_training, train, wait_for
from utils.checkpoints import load_state


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
        "README.md", "config.yaml", "log.jsonl", "model.safetensors", "samples/step_000020.png", "trainer_state.pt",
    ]  # fmt: skip
    assert any(name.startswith("tensorboard/events") for name in found)
    for name in ("model.safetensors", "trainer_state.pt", "log.jsonl", "samples/step_000020.png"):
        assert str(folder / name) in output
    lines = [json.loads(line) for line in open(folder / "log.jsonl")]
    assert lines and lines[-1]["step"] == 20 and {"loss", "grad_norm", "pictures_per_second"} < lines[-1].keys()
    with Image.open(folder / "samples/step_000020.png") as sheet:
        assert sheet.size == (466, 466)  # 8 x 8 pictures of 28, shown as 56, with gaps of 2


def test_drawing_leaves_exactly_the_files_of_the_design(trained, tmp_path):
    process = run("test_solver.py", "--model_path", trained[0] / "model.safetensors", "--test_mode", "random_gen", "--sample_info",
                  "DDIM_5_0p0", "--sample_num", 9, "--save_dir", tmp_path / "Y", "--save_images")  # fmt: skip
    output = done(process)
    prefix = "X_DDIM_5_0p0_n9_"  # 9, where the checkpoint's own number is 64
    images = [f"X_DDIM_5_0p0_images/{i:06d}.png" for i in range(9)]
    named = [f"{prefix}final.png", *images, f"{prefix}progress.gif", f"{prefix}progress.png"]
    assert files(tmp_path / "Y") == sorted(named)
    for name in ("final.png", "progress.png", "progress.gif"):
        assert str(tmp_path / "Y" / (prefix + name)) in output
    final = np.array(Image.open(tmp_path / "Y" / f"{prefix}final.png"))
    assert final.shape == (176, 176)  # 28 pixels are shown as 56
    assert np.array_equal(final[2:58:2, 60:116:2], np.array(Image.open(tmp_path / "Y" / images[1])))
    assert Image.open(tmp_path / "Y" / f"{prefix}progress.png").size == (
        2 + 6 * 58,
        2 + 9 * 58,
    )  # noise, and after each of the 5 steps
    assert Image.open(tmp_path / "Y" / f"{prefix}progress.gif").n_frames == 6


def test_a_large_request_keeps_a_bounded_grid_and_says_so(tmp_path):
    done(train(tmp_path / "tiny", "--max_steps", 1))
    output = done(run("test_solver.py", "--model_path", tmp_path / "tiny" / "model.safetensors", "--sample_info", "DDIM_1_0p0",
                      "--sample_num", 1100, "--batch_size", 300, "--save_dir", tmp_path / "out"))  # fmt: skip
    assert "Draws:   1,024 pictures" in output and "not 1,100, as the grid shows 1,024" in output  # none is thrown away
    assert Image.open(tmp_path / "out" / "tiny_DDIM_1_0p0_n1024_final.png").size == (2 + 32 * 58, 2 + 32 * 58)
    assert Image.open(tmp_path / "out" / "tiny_DDIM_1_0p0_n1024_progress.png").size == (2 + 2 * 58, 2 + 64 * 58)


def test_interpolation_is_13_rows_between_originals(trained, tmp_path):
    process = run("test_solver.py", "--model_path", trained[0] / "model.safetensors", "--test_mode", "interpolate", "--sample_info",
                  "DDIM_4_0p0", "--sample_num", 3, "--save_dir", tmp_path)  # fmt: skip
    done(process)
    assert files(tmp_path) == ["X_DDIM_4_0p0_n3_interpolate.png"]
    sheet = np.array(Image.open(tmp_path / "X_DDIM_4_0p0_n3_interpolate.png"))
    names = sheet.shape[1] - (2 + 3 * 58)  # of the rows, on the left
    assert len(sheet) == 2 + 13 * 58 and names > 0 and sheet[:, :names].any()
    sheet = sheet[::2, names::2]
    digits = np.load(os.path.join(ROOT, "datasets/assets/mnist_mini.npz"))["images"][:7000]
    for row in (0, 12):
        for column in range(3):
            cell = sheet[1 + 29 * row : 29 + 29 * row, 1 + 29 * column : 29 + 29 * column]
            assert (digits == cell).all(axis=(1, 2)).any(), (row, column)


def test_reconstruction_shows_both_rows_and_says_how_well_it_went(trained, tmp_path):
    output = done(run("test_solver.py", "--model_path", trained[0] / "model.safetensors", "--test_mode", "reconstruct", "--sample_info",
                      "DDIM_4_0p0", "--sample_num", 3, "--save_dir", tmp_path, "--split", "test"))  # fmt: skip
    png, record = tmp_path / "X_DDIM_4_0p0_n3_test_reconstruct.png", tmp_path / "X_DDIM_4_0p0_n3_test_reconstruct.json"
    assert files(tmp_path) == [record.name, png.name]
    assert all(word in output for word in ("3 pictures of the test split", "Latents: mean", "standard deviation"))
    record = json.loads(record.read_text())
    assert record["protocol"] == {"pictures": 3, "data": "mnist_mini", "split": "test", "seed": 0}
    assert (record["sampler"], record["model_sha256"]) == ("DDIM_4_0p0", hashlib.sha256(
        (trained[0] / "model.safetensors").read_bytes()).hexdigest()[:12])  # fmt: skip
    real, again = cells_of(png, 2, 3) / 255
    held_out = np.load(os.path.join(ROOT, "datasets/assets/mnist_mini.npz"))["images"][7000:] / 255
    assert all((held_out == picture).all(axis=(1, 2)).any() for picture in real)
    mse = np.square(real - again).mean(axis=(1, 2))
    psnr = 10 * np.log10(1 / mse)
    for name, expected in (("mse", mse), ("psnr", psnr)):
        figure = record["figures"][name]
        np.testing.assert_allclose(figure["each"], expected, rtol=1e-6)
        np.testing.assert_allclose([figure["mean"], figure["std"]], [expected.mean(), expected.std(ddof=1)], rtol=1e-6)
    assert f"MSE {mse.mean():.6f} (of 0 to 1), PSNR {psnr.mean():.2f} dB, the worst picture {psnr.min():.2f} dB" in output


def cells_of(path, rows, columns):
    """The pictures of a sheet of digits, uint8 (rows, columns, 28, 28); they are enlarged by 2, and the names stand before them."""
    sheet = np.array(Image.open(path))[::2]
    sheet = sheet[1 : 1 + 29 * rows, sheet.shape[1] - 58 * columns :: 2]
    assert sheet.shape == (29 * rows, 29 * columns)
    return sheet.reshape(rows, 29, columns, 29)[:, :28, :, :28].transpose(0, 2, 1, 3)


@pytest.mark.parametrize("sampler", ["DDIM_3_0p0", "DPMPP_3_0p0_r2", "DDPM_3_0p0_r2"])
def test_kept_pixels_come_back_byte_for_byte(trained, tmp_path, sampler):
    mask = np.zeros((28, 28), np.uint8)
    mask[5:20, 3:11] = 255
    Image.fromarray(mask).save(tmp_path / "hole.png")
    common = ["--model_path", trained[0] / "model.safetensors", "--test_mode", "inpaint", "--sample_info", sampler, "--sample_num", 3]
    results = {}
    for name, options in {"a": [], "b": ["--batch_size", 1], "c": ["--seed", 1, "--sample_num", 2]}.items():
        done(run("test_solver.py", *common, "--mask", tmp_path / "hole.png", "--precision", "fp32", "--save_dir", tmp_path / name,
                 *options))  # fmt: skip
        (sheet,) = files(tmp_path / name)
        assert sheet.endswith("_hole-png_inpaint.png")
        results[name] = cells_of(tmp_path / name / sheet, 6, 2 if name == "c" else 3)
    real, known, drawn = results["a"][0], results["a"][1], results["a"][2:]
    digits = np.load(os.path.join(ROOT, "datasets/assets/mnist_mini.npz"))["images"][:7000]
    assert all((digits == picture).all(axis=(1, 2)).any() for picture in real)
    assert (drawn[..., mask == 0] == real[None][..., mask == 0]).all() and (known[..., mask == 0] == real[..., mask == 0]).all()
    assert (known[..., mask > 0] == 128).all()
    assert len(np.unique(drawn[..., mask > 0].reshape(12, -1), axis=0)) == 12  # several results, no two alike
    # A picture of a seed is the same whatever the batch (to rounding) and whichever seed is the first.
    assert abs(results["a"].astype(int) - results["b"]).max() <= 1
    assert abs(results["a"][:, 1:].astype(int) - results["c"]).max() <= 1


def test_editing_a_drawing_of_ones_own(trained, tmp_path):
    drawing = np.zeros((56, 84, 3), np.uint8)  # of another size, wide and in colour
    drawing[8:48, 36:48] = 255
    Image.fromarray(drawing).save(tmp_path / "one.png")
    common = ["--model_path", trained[0] / "model.safetensors", "--sample_info", "DDIM_4_0p0", "--picture", tmp_path / "one.png"]
    done(run("test_solver.py", *common, "--test_mode", "edit", "--strength", 0.001, "--save_dir", tmp_path / "out"))
    done(run("test_solver.py", *common, "--test_mode", "edit", "inpaint", "--save_dir", tmp_path / "out"))
    names = ["X_DDIM_4_0p0_one.png_edit.png", "X_DDIM_4_0p0_one.png_inpaint.png", "X_DDIM_4_0p0_strength0-001_one.png_edit.png"]
    assert files(tmp_path / "out") == names
    little = cells_of(tmp_path / "out" / names[2], 5, 1)[:, 0].astype(int)
    assert little[0, 4:24, 12:14].min() > 200 and little[0, :, :4].max() == 0  # cropped and resized
    assert abs(little[1:] - little[0]).max() < 12  # one step of noise
    much = cells_of(tmp_path / "out" / names[0], 5, 1)[:, 0].astype(int)
    assert (abs(much[1:] - much[0]).max(axis=(1, 2)) > 60).all()


@pytest.mark.parametrize("mode", ["lerp", "slerp", "ddim"])
def test_every_interpolation_prints_its_smoothness(trained, tmp_path, mode):
    output = done(run("test_solver.py", "--model_path", trained[0] / "model.safetensors", "--test_mode", "interpolate", "--sample_info",
                      "DDIM_4_0p0", "--sample_num", 2, "--interpolate_mode", mode, "--interpolate_num", 3, "--save_dir", tmp_path))  # fmt: skip
    assert "pair 0: mean" in output and "pair 1: mean" in output
    word = "" if mode == "slerp" else f"{mode}_"
    assert Image.open(tmp_path / f"X_DDIM_4_0p0_n2_{word}num3_interpolate.png").height == 2 + 5 * 58


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
        pictures[name] = {
            file: np.array(Image.open(folder / file)).astype(int)
            for file in os.listdir(folder)
            if file.endswith(".png")
        }
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
    assert Image.open(tmp_path / "out" / "run_DDIM_2_0p0_n2_interpolate.png").height == 2 + 13 * 66


def test_a_dry_run_says_everything_and_leaves_nothing(tmp_path):
    output = done(train(tmp_path / "run", "--dry_run", "--set", "train.learning_rate=1e-4"))
    for words in (
        "7,000 pictures",
        "parameters",
        "1,750.0 an epoch",
        "Preview: the first pictures after 1,000 steps; how long all takes is said after the first steps",
        f"{tmp_path}/run",
        "learning_rate: 0.0001",
        "source: mnist_mini",
    ):
        assert words in output, words
    assert os.listdir(tmp_path) == []
