"""What is drawn for a visitor, byte for byte against what test_solver.py writes; and what is kept of its denoising."""

import io
import shlex
import subprocess
import sys
import zipfile

import pytest
import torch

from datasets import to_float, to_uint8
from modes.model import load_model
from page.drawing import Drawing
from page.limits import Limits, check_work, sampler_within, share, whole
from page.machine import Stopped
from sampling import parse_sampler
from tests.mode import run_mode
from tests.page.served import ROOT, offered
from utils.errors import RequestError
from utils.seeds import PictureNoise


def trained_of(class_label=None):
    return offered().load("mnist_mini", class_label, "fp32").trained


def check_downloads(drawing, folder):
    """The downloads are the files that the command line left in the folder, byte for byte."""
    (final,), (gif,), (pictures,) = (folder.glob(f"*_{name}") for name in ("final.png", "progress.gif", "images"))
    assert drawing.png() == final.read_bytes() and drawing.gif() == gif.read_bytes()
    with zipfile.ZipFile(io.BytesIO(drawing.zip())) as archive:
        assert archive.namelist() == sorted(path.name for path in pictures.iterdir())
        assert all(archive.read(name) == (pictures / name).read_bytes() for name in archive.namelist())


def test_the_downloads_are_the_command_lines_files(tmp_path):
    """Of test_solver.py as a user starts it, by the command that the page shows."""
    drawing = Drawing(offered().load("mnist_mini").trained, parse_sampler("DDIM_2_1p0_cfg1p5", 1000, 10), 5, 1)
    drawing.run(lambda taken: None)
    python, *words = shlex.split(drawing.command())
    assert python == "python"
    command = [sys.executable, *words, "--save_images", "--save_dir", str(tmp_path)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    check_downloads(drawing, tmp_path)
    assert [path.name for path in tmp_path.glob("*_images/*")] == ["000005.png"]


def test_the_downloads_of_all_classes_in_turn_are_the_command_lines_files(tmp_path):
    trained, info = trained_of("all"), parse_sampler("DPMPP_20_0p0", 1000, 10)
    drawing = Drawing(trained, info, 5, 3)
    drawing.run(lambda taken: None)
    model = load_model(trained.path, device=trained.device, class_label="all", precision="fp32")
    run_mode("random_gen", model, info, seed=5, sample_num=3, save_dir=str(tmp_path), save_images=True)
    check_downloads(drawing, tmp_path)


def test_the_denoising_is_kept_from_pure_noise_to_the_finished_pictures():
    drawing = Drawing(trained_of(), parse_sampler("DDIM_4_0p0", 1000, 10), 7, 2)
    told = []
    drawing.run(told.append)
    assert told == [0, 1, 2, 3] and drawing.moments == [0, 1, 2, 3, 4] and drawing.reached == 5 and drawing.calls == 4
    noise = PictureNoise([7, 8])(torch.empty(2, 1, 28, 28))
    torch.testing.assert_close(drawing.frames[0, 0], to_uint8(noise), rtol=0, atol=0)
    assert drawing.frames[-1, 0].equal(drawing.now[0]) and drawing.frames[-1, 1].equal(drawing.frames[-1, 0])
    # With an eta of 0 the last step of DDIM ends at its prediction: what was told of it is what is drawn.
    torch.testing.assert_close(to_float(drawing.frames[3, 1]), to_float(drawing.frames[4, 0]), rtol=0, atol=2 / 255)


def test_a_stopped_drawing_keeps_what_it_reached():
    drawing = Drawing(trained_of(), parse_sampler("DDIM_50_0p0", 1000, 10), 0, 2)

    def tell(taken):
        if taken == 3:
            raise Stopped

    with pytest.raises(Stopped):
        drawing.run(tell)
    assert (drawing.taken, drawing.reached, drawing.finished) == (3, 4, False) and drawing.frames[4].eq(0).all()


@pytest.mark.parametrize("value", [None, "3", True, 0, 65, 2.5, 10**400, float("nan"), float("inf"), [1], {}])
def test_what_is_no_whole_number_within_the_bounds_is_refused(value):
    with pytest.raises(RequestError, match="Pictures: a whole number from 1 to 64"):
        whole(value, 1, 64, "count")
    assert whole(64.0, 1, 64, "count") == 64
    with pytest.raises(RequestError, match="Strength of editing: (a number|above 0, and 1 at the most)"):
        share(value, "strength")


@pytest.mark.parametrize(
    "text, words",
    [
        ("DDIM_50", "it is written METHOD_STEPS_ETA"),
        ("DDIM_501_0p0", "takes 501 steps; this page allows 500"),
        ("DDIM_1001_0p0", "the 1000 of training"),
        ("DDIM_200_0p0_r5", "takes 1,000 steps"),
        ("DDIM_20_0p0_r5", "is for filling in"),
        (None, "a string"),
        (["DDIM_50_0p0"], "a string"),
    ],
)
def test_samplers_beyond_the_limits_are_refused(text, words):
    with pytest.raises(RequestError, match=words):
        sampler_within(Limits(steps=500), text, trained_of())


def test_work_is_pictures_times_calls():
    check_work(Limits(), 20, 1000)
    with pytest.raises(RequestError, match="20,020; this page allows 20,000"):
        check_work(Limits(), 20, 1001)
