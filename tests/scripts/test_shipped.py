"""The checkpoints that ship: they draw clean digits with every sampler, few steps included, and what was encoded comes back."""

import os
import re

import numpy as np
import pytest
import torch

from datasets import ImageDataset
from diffusion import SampleInfo, build_diffusion
from models import build_model
from modes.model import load_model
from sampling.drawing import batches_of, draw
from tests.processes import done, run
from utils.checkpoints import load_checkpoint
from utils.precision import cpu_has_bf16
from utils.untrusted import load_weights

PATH = "checkpoints/mnist_mini.safetensors"  # predicts x_0
PATH_V = "checkpoints/mnist_mini_v.safetensors"
PATH_STUDENT = "checkpoints/mnist_mini_student.safetensors"


def load(path):
    checkpoint = load_checkpoint(path)
    model = build_model(**checkpoint.settings.model_arguments()).eval()
    load_weights(model, checkpoint.state_dict, path)
    return model, build_diffusion(**checkpoint.settings.diffusion.model_dump())


@pytest.fixture(scope="module")
def shipped():
    return load(PATH)


def unclean(pictures):
    """The mean grey value of the outermost four pixels: black in real digits, grey where noise is left."""
    pictures = np.asarray(pictures, dtype=float)
    return np.concatenate(
        [
            pictures[..., :4, :].ravel(),
            pictures[..., -4:, :].ravel(),
            pictures[..., :4].ravel(),
            pictures[..., -4:].ravel(),
        ]
    ).mean()


@pytest.mark.parametrize(
    "text, count",
    [("DDPM_50_0p0", 16), ("DDPM_1000_0p0", 2), ("DDIM_50_0p0", 16), ("DDIM_50_1p0", 16), ("DPMPP_20_0p0", 16), ("DPMPP_20_1p0", 16),
     ("HEUN_18_0p0", 16), ("UNIPC_10_0p0", 16), ("DDIM_20_0p0_quad", 16)],
)  # fmt: skip
def test_every_sampler_draws_clean_pictures(shipped, text, count):
    pictures = draw(*shipped, SampleInfo.parse(text), range(count), (1, 28, 28), torch.device("cpu"))
    assert unclean(pictures) < 6, unclean(pictures)
    ink = pictures.float().mean(dim=(1, 2, 3)) / 255
    assert ((ink > 0.02) & (ink < 0.35)).all(), ink  # something is written, and not everything


def test_the_measure_knows_real_digits_from_noise(shipped):
    settings = load_checkpoint(PATH).settings
    digits = ImageDataset(**settings.data.model_dump()).load().images[:500]
    assert unclean(digits) < 3
    noisy = shipped[1].q_sample(torch.from_numpy(np.array(digits)) / 127.5 - 1, 50, torch.randn(500, 1, 28, 28))
    assert unclean((noisy.clamp(-1, 1) + 1) * 127.5) > 6  # a veil of noise at a twentieth of the way


def test_fast_and_slow_samplers_agree_on_the_picture(shipped):
    """The ODE solvers follow the same path from the same noise: at enough steps they draw the same digits."""
    pictures = {
        text: draw(*shipped, SampleInfo.parse(text), range(8), (1, 28, 28), torch.device("cpu")).float() / 255
        for text in ("DDIM_250_0p0", "DPMPP_50_0p0", "UNIPC_50_0p0", "HEUN_50_0p0")
    }
    slow = pictures.pop("DDIM_250_0p0")
    for text, fast in pictures.items():
        assert (fast - slow).square().mean().sqrt() < 0.08, text


def test_the_one_that_predicts_v_draws_clean_pictures_too():
    pictures = draw(*load(PATH_V), SampleInfo.parse("DPMPP_20_0p0"), range(16), (1, 28, 28), torch.device("cpu"))
    assert unclean(pictures) < 6


def test_what_was_encoded_comes_back_where_v_is_predicted(tmp_path):
    arguments = ["--test_mode", "reconstruct", "--model_path", PATH_V, "--sample_info", "DDIM_50_0p0"]
    printed = done(run("test_solver.py", *arguments, "--sample_num", 4, "--save_dir", tmp_path))
    assert float(re.search(r"PSNR ([0-9.]+) dB", printed).group(1)) > 35


@pytest.mark.parametrize("name", ["mnist_mini", "emoji"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_seeds_picture_does_not_depend_on_the_batch(name, precision):
    """What README promises by precision: a grey value may round otherwise, as kernels may sum a batch of another size in
    another order. In bf16 a batch of 1 may be computed by another kernel than all others: on one CPU up to 19 grey levels."""
    if precision == "bf16" and not cpu_has_bf16():
        pytest.skip("bf16 is not this CPU's own")
    trained = load_model(f"checkpoints/{name}.safetensors", device=torch.device("cpu"), precision=precision).trained
    info = SampleInfo.parse("DDIM_4_0p0")

    def drawn(count, size):
        batches = batches_of(range(count), size)
        options = [{"labels": trained.labels_of(part), "num_classes": trained.num_classes} for part in batches]
        how = (trained.network, trained.diffusion, info)
        parts = zip(batches_of(range(count), size), options)
        return torch.cat([draw(*how, part, trained.shape, trained.device, **option) for part, option in parts])

    expected = drawn(64, 64)[:8].int()
    for size in (1, 2, 4):
        most = 20 if (precision, size) == ("bf16", 1) else 1
        difference = (drawn(8, size).int() - expected).abs().max().item()
        assert difference <= most, (size, difference)


@pytest.mark.parametrize("text", ["CM_1_0p0", "CM_2_0p0", "CM_4_0p0"])
def test_the_student_draws_clean_digits_of_the_class_asked_for(extractor, text):
    trained = load_model(PATH_STUDENT, device=torch.device("cpu"), class_label="all").trained
    seeds = range(100)
    how = {"labels": trained.labels_of(seeds), "num_classes": trained.num_classes}
    pictures = draw(trained.network, trained.diffusion, SampleInfo.parse(text), seeds, trained.shape, trained.device, **how)
    assert unclean(pictures) < 6
    read = extractor(pictures).logits.argmax(dim=1)
    assert (read == torch.tensor(how["labels"])).double().mean() >= 0.9


@pytest.mark.parametrize("name", ["mnist_mini", "mnist_mini_student", "mnist_mini_v", "emoji"])
def test_it_is_small_enough_to_ship_and_names_no_folder_of_its_maker(name):
    assert os.path.getsize(f"checkpoints/{name}.safetensors") <= 10_500_000
    assert load_checkpoint(f"checkpoints/{name}.safetensors").settings.run.save_dir == f"train_results/{name}"
