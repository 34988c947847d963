"""Networks with classes, trained and drawn from as a user does."""

import json

import pytest
import torch
from safetensors import safe_open

from tests.processes import TINY, done, refused, run, torchrun, train
from tests.small_training import weights_of
from training.labels import drop_labels
from utils.checkpoints import load_checkpoint
from utils.classes import Classes, classes_from
from utils.errors import RequestError
from utils.pictures import read_png
from utils.seeds import generator

CONDITIONAL = [*TINY, "model.num_classes=10", "train.optimizer=muon", "run.precision=fp32", "train.batch_size=5"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    done(train(folder, "--max_steps", "4", settings=CONDITIONAL))
    return folder


def test_resuming_with_labels_and_muon_is_exact(trained, tmp_path):
    done(train(tmp_path, "--max_steps", "2", settings=CONDITIONAL))
    done(train(tmp_path, "--max_steps", "4", settings=CONDITIONAL))
    torch.testing.assert_close(weights_of(tmp_path), weights_of(trained), rtol=0, atol=0)


def test_two_ranks_and_parts_of_a_batch_drop_the_same_labels(trained, tmp_path):
    overrides = [word for setting in [*CONDITIONAL, "train.accumulate=2"] for word in ("--set", setting)]
    for process in torchrun(
        2, "train_solver.py", "--data_name", "Mnist_Mini", "--save_dir", str(tmp_path), "--max_steps", "1", *overrides
    ):
        done(process)
    alone = tmp_path / "alone"
    done(train(alone, "--max_steps", "1", settings=CONDITIONAL))
    # Gradients are summed in another order: equal to rounding, which Adam's first step enlarges where they are near 0.
    found, expected = (weights_of(folder)["model"]["class_embed.weight"] for folder in (tmp_path, alone))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_dropped_labels_are_decided_for_the_whole_batch():
    labels = torch.arange(8)

    def dropped(rows):
        stream = generator("cpu", 0, "labels", 5)
        return drop_labels(labels[rows], 0.5, 99, stream, batch_size=8, rows=rows)

    whole = dropped(slice(0, 8))
    assert torch.equal(torch.cat([dropped(slice(0, 3)), dropped(slice(3, 8))]), whole)
    assert set(whole.tolist()) <= {*range(8), 99} and 99 in whole
    stream = generator("cpu", 0, "labels", 5)
    many = drop_labels(torch.zeros(40_000, dtype=torch.long), 0.1, 7, stream, batch_size=40_000, rows=slice(None))
    assert (many == 7).double().mean().item() == pytest.approx(0.1, abs=0.006)  # four standard errors


def test_names_and_counts_travel_in_both_files(trained):
    with safe_open(trained / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["classes"])["names"] == list("0123456789")
    for name in ("model.safetensors", "trainer_state.pt"):
        classes = load_checkpoint(trained / name).classes
        assert classes.names == tuple("0123456789") and sum(classes.counts) == 7000


def test_a_class_asked_for_and_all_of_them(trained, tmp_path):
    def draw(*words):
        arguments = ["--model_path", str(trained / "model.safetensors"), "--save_dir", str(tmp_path), *words]
        return run("test_solver.py", *arguments, "--sample_info", "DDIM_2_0p0_cfg1p5", "--precision", "fp32")

    prefix = f"{trained.name}_DDIM_2_0p0_cfg1p5_fp32"
    done(draw("--class_label", "all", "--sample_num", "20", "--save_images"))
    done(draw("--class_label", "3", "--sample_num", "4", "--batch_size", "2", "--save_images"))
    assert (tmp_path / f"{prefix}_class_all_n20_final.png").exists()
    # Seed 3 is of class 3 in both: the same picture, whatever the batch.
    pictures = [tmp_path / f"{prefix}_class_{word}_images" / "000003.png" for word in ("all", "3")]
    assert torch.equal(*map(read_png, pictures))  # the files also carry the commands, which differ
    refused(draw("--class_label", "10"), "there is no class '10'", "0 to 9")
    refused(draw("--class_label", "3", "--test_mode", "interpolate"), "--class_label belongs to")


def test_what_cannot_be_is_refused(tmp_path):
    refused(train(tmp_path / "a", settings=[*TINY, "model.num_classes=9"]), "num_classes 9", "10")
    refused(train(tmp_path / "b", settings=[*TINY, "model.num_classes=0", "sample.sample_info=DDIM_2_0p0_cfg1p5"]), "without classes")
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()
    arguments = ["--model_path", "checkpoints/mnist_mini_v.safetensors", "--save_dir", str(tmp_path)]
    refused(run("test_solver.py", *arguments, "--class_label", "3"), "trained without classes")
    refused(run("test_solver.py", *arguments, "--sample_info", "DDIM_2_0p0_cfg1p5"), "without classes")


@pytest.mark.parametrize(
    "content",
    [
        "cat",
        [],
        {"names": ["a", "b"]},
        {"names": ["a"], "counts": [1]},
        {"names": ["a", "b\x1b[2J"], "counts": [1, 1]},
        {"names": ["a", ""], "counts": [1, 1]},
        {"names": ["a", "b" * 300], "counts": [1, 1]},
        {"names": ["a", "b"], "counts": [1, -1]},
        {"names": ["a", "b"], "counts": [1, True]},
        {"names": ["a", "b"], "counts": [0, 0]},
        {"names": ["a", 2], "counts": [1, 1]},
    ],
)
def test_a_stranger_s_classes_are_not_believed(content, tmp_path):
    with pytest.raises(RequestError, match="its classes are not those of 2 labels"):
        classes_from(content, 2, tmp_path / "model.safetensors")
    assert classes_from(content, 0, tmp_path) == classes_from(None, 2, tmp_path) == Classes()
