"""Nothing is overwritten unasked: what makes another picture is in its name, and each PNG says how to draw it again."""

import os
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion import SampleInfo
from modes.kept_pictures import are_of_request
from modes.model import load_model
from modes.real_data import data_words
from sampling import named_if_changed
from sampling.memory import pictures_at_a_time
from sampling.provenance import texts_of
from tests.processes import ROOT, done, files, refused, run
from utils.files import keep_other
from utils.pictures import read_png, save_png

SHIPPED = "checkpoints/mnist_mini.safetensors"
CPU = torch.device("cpu")
QUICK = ["--model_path", SHIPPED, "--sample_info", "DDIM_2_0p0"]


def test_a_name_holds_what_is_not_the_default_and_nothing_else(tmp_path):
    info = SampleInfo.parse("DDIM_50_0p0")
    plain = load_model(SHIPPED, device=CPU).trained
    other = load_model(SHIPPED, device=CPU, precision="fp32", clip_denoised=False).trained
    raw = plain._replace(variant=("raw",))
    words = [*named_if_changed("seed", 0, 0), *named_if_changed("n", 9, 64), *named_if_changed("", "lerp", "slerp")]
    assert plain.output_prefix(tmp_path, info).name == "mnist_mini_DDIM_50_0p0"
    assert plain.output_prefix(tmp_path, info, *words).name == "mnist_mini_DDIM_50_0p0_n9_lerp"
    assert other.output_prefix(tmp_path, info).name == "mnist_mini_DDIM_50_0p0_clip_false_fp32"
    assert raw.output_prefix(tmp_path, info, "seed5").name == "mnist_mini_DDIM_50_0p0_raw_seed5"
    assert load_model(SHIPPED, device=CPU, clip_denoised=True).trained.variant == ()  # the checkpoint's own
    settings = load_model(SHIPPED, device=CPU).settings
    assert data_words(settings, "Emoji", "/a b/c: d", None) == ["Emoji", "c--d"]
    assert data_words(settings, "Mnist_Mini", None, None) == [] and data_words(
        settings, "Mnist_Mini", None, "a.yaml"
    ) == ["Mnist_Mini"]
    assert len(data_words(settings, None, "x" * 200, None)[0]) == 40


def test_other_requests_leave_the_earlier_pictures(tmp_path):
    for options in ([], ["--seed", 3], ["--clip_denoised", "false"], ["--sample_num", 3], ["--precision", "fp32"]):
        done(run("test_solver.py", *QUICK, "--sample_num", 2, "--save_dir", tmp_path, *options))
    words = ["clip_false_n2", "fp32_n2", "n2", "n3", "seed3_n2"]
    assert sorted({name.rsplit("_", 1)[0] for name in files(tmp_path)}) == [
        f"mnist_mini_DDIM_2_0p0_{word}" for word in words
    ]
    assert len(files(tmp_path)) == 15


def test_pictures_of_another_request_are_put_aside_and_the_same_one_takes_its_place(tmp_path, capsys):
    paths = [tmp_path / name for name in ("a.png", "b.png", "b.gif")]

    def write(value, texts):
        keep_other(paths, are_of_request(paths, texts))
        for path in paths[:2]:
            save_png(path, torch.full((1, 2, 2), value, dtype=torch.uint8), texts)
        paths[2].write_bytes(bytes([value]))

    for value, command in ((1, "one"), (2, "two"), (3, "two"), (4, "图 four")):
        write(value, {"command": command})
    paths[0].write_bytes(b"damaged")
    write(5, {"command": "图 four"})
    for number, value in (("", 5), (".1", 1), (".2", 3), (".3", 4)):
        assert (tmp_path / f"b{number}.gif").read_bytes() == bytes([value])
        assert (read_png(tmp_path / f"b{number}.png") == value).all()
    assert len(files(tmp_path)) == 12 and (tmp_path / "a.3.png").read_bytes() == b"damaged"
    assert capsys.readouterr().out.count("of another request") == 3
    for path in paths[:2]:
        path.unlink()  # whose the GIF is cannot be seen
    keep_other(paths, are_of_request(paths, {"command": "图 four"}))
    assert (tmp_path / "b.4.gif").read_bytes() == bytes([5])


def test_neither_mode_nor_folder_nor_checkpoint_overwrites_another(tmp_path):
    """What only the folder of a file tells apart has the same name: the older picture is kept under another."""
    for folder, checkpoint in (("a", SHIPPED), ("b", "checkpoints/mnist_mini_v.safetensors")):
        (tmp_path / folder).mkdir()
        os.symlink(os.path.join(ROOT, checkpoint), tmp_path / folder / "m.safetensors")
        Image.new("L", (28, 28), 40 * len(files(tmp_path))).save(tmp_path / folder / "p.png")

    def draw(folder, *options):
        done(run("test_solver.py", "--model_path", tmp_path / folder / "m.safetensors", "--sample_info", "DDIM_2_0p0", "--sample_num", 1,
                 "--save_dir", tmp_path / "out", *options))  # fmt: skip

    for mode in ("slerp", "lerp", "ddim"):
        draw("a", "--test_mode", "interpolate", "--interpolate_mode", mode, "--interpolate_num", 2)
    for model, picture in (("a", "a"), ("a", "b"), ("b", "b"), ("b", "b")):
        draw(model, "--test_mode", "edit", "--picture", tmp_path / picture / "p.png")
    names = ["ddim_num2_interpolate", "lerp_num2_interpolate", "num2_interpolate"]
    assert files(tmp_path / "out") == sorted(
        [f"m_DDIM_2_0p0_n1_{name}.png" for name in names]
        + [f"m_DDIM_2_0p0_p.png_edit{number}.png" for number in ("", ".1", ".2")]
    )


def test_a_device_that_auto_would_not_take_is_in_the_command(monkeypatch):
    model, info = load_model(SHIPPED, device=CPU), SampleInfo.parse("DDIM_2_0p0")
    monkeypatch.setattr("sampling.provenance.pick_device", lambda name: CPU)
    assert "--device" not in texts_of(model.trained, "random_gen", info, {})["command"]
    monkeypatch.setattr("sampling.provenance.pick_device", lambda name: torch.device("cuda"))
    assert "--device cpu" in texts_of(model.trained, "random_gen", info, {})["command"]


@pytest.mark.parametrize(
    "options",
    [
        ["--sample_num", 3, "--seed", 7, "--clip_denoised", "false", "--save_images"],
        ["--sample_num", 2, "--test_mode", "interpolate", "--interpolate_mode", "lerp", "--interpolate_num", 3],
        ["--sample_num", 2, "--test_mode", "reconstruct", "--seed", 4],
        ["--sample_num", 1, "--test_mode", "inpaint", "--mask", "random", "--seed", 4, "--class_label", "3"],
        ["--sample_num", 1, "--test_mode", "edit", "--strength", "0.25"],
    ],
)
def test_the_command_in_a_picture_draws_it_again(tmp_path, options):
    first, second = tmp_path / "a b", tmp_path / "again"
    done(run("test_solver.py", *QUICK, *options, "--batch_size", 2, "--save_dir", first))
    for name in [name for name in files(first) if name.endswith(".png")]:
        with Image.open(first / name) as image:
            texts, pixels = image.text, np.array(image)
        assert texts["drawn_by"].startswith("DDIM_2_0p0, ema weights ")
        words = shlex.split(texts["command"])
        assert words[:4] == ["python", "test_solver.py", "--model_path", SHIPPED] and "--batch_size" not in words
        done(run(*words[1:], "--save_dir", second))
        if "_images" not in name:  # a single picture is then that of a grid of one
            assert np.array_equal(pixels, np.array(Image.open(second / name)))
        else:
            grid = second / f"mnist_mini_DDIM_2_0p0_clip_false_seed{int(Path(name).stem)}_n1_final.png"
            difference = np.array(Image.open(grid))[2:-2:2, 2:-2:2].astype(int) - pixels
            assert abs(difference).max() <= 20  # bf16's rounding goes by the size of the batch


def test_a_path_elsewhere_is_quoted(tmp_path):
    os.makedirs(tmp_path / "my models")
    os.symlink(os.path.join(ROOT, SHIPPED), tmp_path / "my models" / "a.safetensors")
    model = load_model(tmp_path / "my models" / "a.safetensors", device=CPU)
    command = texts_of(model.trained,
        "random_gen", SampleInfo.parse("DDIM_2_0p0"), {"seed": 0, "save_images": True, "split": None}
    )["command"]
    assert f"--model_path '{tmp_path}/my models/a.safetensors'" in command and command.endswith(
        "--seed 0 --save_images"
    )


def test_more_pairs_than_pictures_are_refused(tmp_path):
    for mode in ("interpolate", "reconstruct"):
        refused(run("test_solver.py", *QUICK, "--test_mode", mode, "--sample_num", 7001, "--save_dir", tmp_path),
                "--sample_num 7001: there are 7,000 pictures")  # fmt: skip
    assert files(tmp_path) == []


def test_a_batch_is_bounded_by_the_memory_that_is_free(monkeypatch, capsys):
    model = load_model(SHIPPED, device=CPU, precision="fp32")
    assert model.batch_size(None, 100_000) == 64 and model.batch_size(7, 3) == 3
    with monkeypatch.context() as little:
        little.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 2**28})())
        fitting = pictures_at_a_time(model.trained, 65_536)
        assert 4 <= fitting < 200 and model.batch_size(65_536, 10**6) == fitting
        assert f"{fitting} pictures at a time, as the free memory has no room for 65,536" in capsys.readouterr().out
        little.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 2})())
        assert pictures_at_a_time(model.trained, 65_536) == 1
