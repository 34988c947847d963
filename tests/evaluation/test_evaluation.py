"""The figures, against closed forms and against each other; what they say of the floor, of models and of copies."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch_fidelity
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.linalg import sqrtm

from datasets import ImageDataset
from diffusion import SampleInfo
from evaluation.drawn import draw_pictures
from evaluation.extractor import Features, as_tensor, load_extractor
from evaluation.measures import measure
from evaluation.memorisation import memorisation, nearest_pictures
from evaluation.picture_metrics import PictureMetrics, SeedSets
from evaluation.record import summary
from evaluation.reference import load_real, load_reference
from modes.model import load_model
from tests.features import CPU, DIGITS, SHIPPED, features_of, two_point
from tests.processes import done, train
from utils.errors import RequestError

# The figures


def test_the_frechet_distance_of_two_gaussians_is_the_closed_form(extractor):
    """|m1 - m2|^2 + sum (s1 - s2)^2 for diagonal covariances, and by a matrix root for others (Dowson and Landau 1982)."""
    rng = np.random.default_rng(0)
    mean, other_mean = rng.normal(size=(2, 64))
    std, other_std = rng.uniform(0.5, 2, size=(2, 64))
    found = measure(two_point(mean, np.diag(std)), two_point(other_mean, np.diag(other_std)), extractor)
    expected = ((mean - other_mean) ** 2).sum() + ((std - other_std) ** 2).sum()
    assert found["fid"] == pytest.approx(expected, rel=1e-5)

    root, other_root = rng.normal(size=(2, 64, 64)) / 8
    found = measure(two_point(mean, root), two_point(other_mean, other_root), extractor)
    first, second = root @ root.T, other_root @ other_root.T
    half = sqrtm(first)
    cross = np.trace(sqrtm(half @ second @ half).real)
    expected = ((mean - other_mean) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * cross
    assert found["fid"] == pytest.approx(expected, rel=1e-4)

    same = two_point(mean, root)
    assert abs(measure(same, same, extractor)["fid"]) < 1e-3


def test_the_kernel_distance_is_the_unbiased_estimator(extractor):
    """Gretton et al. 2012, Eq. 3, with all pictures in each subset, whose order then makes no difference."""
    a, b = torch.randn(150, 64, generator=torch.Generator().manual_seed(0)), torch.full((150, 64), 0.2)
    b = b + torch.randn(150, 64, generator=torch.Generator().manual_seed(1))
    both = torch.cat([a, b]).double()
    kernel = (both @ both.T / 64 + 1) ** 3
    off = kernel - kernel.diag().diag()
    expected = (off[:150, :150].sum() + off[150:, 150:].sum()) / (150 * 149) - 2 * kernel[:150, 150:].mean()
    found = measure(features_of(a), features_of(b), extractor)
    assert found["kid"] == pytest.approx(expected.item(), rel=1e-5)
    assert found["kid_std"] < 1e-10


def test_precision_and_recall_of_what_is_covered_and_what_is_not(extractor):
    """Two clusters far apart: drawn covers the first alone, real both; and a set covers itself."""
    rng = torch.Generator().manual_seed(0)
    cluster = torch.randn(200, 64, generator=rng)
    real = torch.cat([cluster[:100], cluster[100:] + 100])
    assert measure(features_of(real), features_of(real), extractor)["precision"] == 1
    found = measure(features_of(cluster[:100]), features_of(real), extractor)
    assert (found["precision"], found["recall"]) == (1, 0.5)
    found = measure(features_of(cluster[:100] - 100), features_of(real), extractor)
    assert (found["precision"], found["recall"]) == (0, 0)


def test_scores_of_known_logits(extractor):
    sure = torch.eye(10).repeat_interleave(20, dim=0) * 50
    unsure = torch.zeros(100, 10)
    features = two_point(np.zeros(64), np.eye(64)).features
    found = measure(
        Features(torch.cat([features, features, features])[:300], torch.cat([sure, unsure])),
        Features(features, sure),
        extractor,
    )
    assert found["confident"] == pytest.approx(200 / 300)
    assert found["class_histogram"] == [120] + [20] * 9  # undecided ones are read as the first class
    no_information = measure(Features(features, torch.zeros(128, 10)), Features(features, sure), extractor)
    assert no_information["inception_score"] == pytest.approx(1)


def test_too_few_pictures_for_a_covariance_are_refused(extractor):
    few, enough = features_of(torch.randn(64, 64)), features_of(torch.randn(65, 64))
    measure(enough, enough, extractor)
    for pair in ((few, enough), (enough, few)):
        with pytest.raises(RequestError, match="64 pictures are too few for the 64 features of digits"):
            measure(*pair, extractor)


class Pictures(torch.utils.data.Dataset):
    def __init__(self, pictures):
        self.pictures = pictures

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, i):
        return self.pictures[i]


def test_torch_fidelity_itself_gives_the_same_with_the_registered_extractor(extractor, reference):
    first, second = as_tensor(reference.held_out.pictures[:200]), as_tensor(reference.real.pictures[:200])
    whole = torch_fidelity.calculate_metrics(
        input1=Pictures(first), input2=Pictures(second), feature_extractor="digits", cuda=False, verbose=False, cache=False,
        fid=True, kid=True, prc=True, isc=True, kid_subset_size=200, rng_seed=3, save_cpu_ram=True,
        feature_extractor_weights_path="checkpoints/digits_extractor.safetensors",
    )  # fmt: skip
    found = measure(first, second, extractor, seed=3)
    assert found["fid"] == pytest.approx(whole["frechet_inception_distance"], rel=1e-4)
    assert found["kid"] == pytest.approx(whole["kernel_inception_distance_mean"], rel=1e-3)
    assert found["inception_score"] == pytest.approx(whole["inception_score_mean"], rel=1e-5)
    assert (found["precision"], found["recall"]) == (whole["precision"], whole["recall"])


def test_summary_is_mean_and_standard_deviation():
    runs = [{"fid": 1.0, "class_histogram": [1, 2]}, {"fid": 3.0, "class_histogram": [3, 4]}]
    assert summary(runs) == {"fid": {"mean": 2.0, "std": math.sqrt(2), "each": [1.0, 3.0]}, "class_histogram": [4, 6]}
    assert summary(runs[:1])["fid"]["std"] is None


# The reference


def test_features_are_kept_by_split_and_extractor_and_made_again_when_damaged(extractor, tmp_path):
    data = replace(DIGITS, cache_dir=str(tmp_path))

    def kept():
        return sorted(name for name in os.listdir(tmp_path) if name.endswith(".safetensors"))

    first = load_real(data, "test", extractor).features
    (name,) = kept()
    assert extractor.hash in name and "digits" in name
    (tmp_path / name).touch()
    written = os.stat(tmp_path / name).st_mtime_ns
    torch.testing.assert_close(load_real(data, "test", extractor).features, first, rtol=0, atol=0)
    assert os.stat(tmp_path / name).st_mtime_ns == written  # read, not made again
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:1000])
    torch.testing.assert_close(load_real(data, "test", extractor).features, first, rtol=0, atol=0)
    other = load_extractor("digits")
    other.hash = "0" * 12
    load_real(data, "test", other)
    assert len(kept()) == 1 and "0" * 12 in kept()[0]  # the old extractor's features are of no more use


def floor_figures(extractor, count):
    """The floor's figures of one set."""
    figures = PictureMetrics(DIGITS, extractor).floor(SeedSets(0, count, 1))["figures"]
    return {name: value["mean"] for name, value in figures.items() if name != "class_histogram"}


def test_real_digits_give_the_floor_and_sets_without_a_split_two_halves(extractor, reference):
    record = PictureMetrics(DIGITS, extractor).floor(SeedSets(0, 300, 1))
    floor, smaller = (floor_figures(extractor, count) for count in (300, 100))
    assert record["pictures"] == 300 and (record["held_out"], record["reference"]) == (
        "mnist_mini, test split",
        "mnist_mini, train split",
    )
    assert 0 < floor["fid"] < smaller["fid"]  # the fewer pictures, the larger
    assert floor["confident"] > 0.9 and floor["precision"] > 0.8
    emoji = ImageDataset(source="emoji", image_size=28, image_channel=1)
    halves = load_reference(emoji, "train", extractor)
    assert (
        "half" in halves.held_out.name
        and len(halves.held_out.pictures) + len(halves.held_out_reference.pictures) == 1911
    )
    with pytest.raises(RequestError, match="emoji has no 'test' split"):
        load_reference(emoji, "test", extractor)


# Models


def test_the_shipped_model_is_nearer_than_a_spoilt_one_and_its_calls_are_counted(extractor, reference, tmp_path):
    with safe_open(SHIPPED, framework="pt") as file:
        weights, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118 (no dict)
    noise = torch.Generator().manual_seed(0)
    for name, tensor in weights.items():
        weights[name] = tensor + 0.2 * tensor.std(correction=0) * torch.randn(tensor.shape, generator=noise)
    save_file(weights, tmp_path / "spoilt.safetensors", metadata)
    found = []
    for path in (SHIPPED, tmp_path / "spoilt.safetensors"):
        trained = load_model(path, device=CPU, precision="fp32").trained
        lot = draw_pictures(trained, SampleInfo.parse("DPMPP_5_0p0"), range(70), batch_size=64)
        assert lot.pictures.shape == (70, 1, 28, 28) and lot.seconds > 0
        found.append(measure(lot.pictures, reference.real.features, extractor))
    for figure in ("fid", "kid"):
        assert found[0][figure] < found[1][figure], figure


@pytest.mark.slow
def test_the_shipped_model_is_near_the_floor_and_a_half_trained_one_is_not(extractor, reference, tmp_path):
    done(train(tmp_path / "short", "--max_steps", 150, settings=["sample.sample_num=4"]))
    found = {}
    for name, path in (("shipped", SHIPPED), ("short", tmp_path / "short" / "model.safetensors")):
        lot = draw_pictures(
            load_model(path, device=CPU, precision="fp32").trained, SampleInfo.parse("DPMPP_20_0p0"), range(500)
        )
        found[name] = measure(lot.pictures, reference.real.features, extractor)
    floor = floor_figures(extractor, 500)
    print({name: figures["fid"] for name, figures in {**found, "floor": floor}.items()})
    assert found["shipped"]["fid"] < 2 * floor["fid"]
    assert found["short"]["fid"] > 5 * found["shipped"]["fid"] and found["short"]["kid"] > 5 * found["shipped"]["kid"]


# Memorisation


def test_copies_of_training_pictures_are_found_out(extractor, reference):
    copied = [17, 4000, 6999]
    pictures = torch.from_numpy(np.concatenate([reference.real.pictures[copied], reference.held_out.pictures[:97]]))
    found = memorisation(pictures, extractor(pictures), reference)
    for space in ("pixels", "features"):
        assert found.drawn[space].index[:3].tolist() == copied
        assert found.drawn[space].distance[:3].max() < 1e-4 and found.drawn[space].distance[3:].min() > 1e-3
        assert found.figures()[space]["drawn_nearer_than_1%_of_held_out"] >= 0.03
    by_hand = (pictures[50].float() - torch.from_numpy(np.array(reference.real.pictures)).float()).div(255).square()
    assert found.drawn["pixels"].distance[50].item() == pytest.approx(
        by_hand.flatten(1).mean(dim=1).sqrt().min().item(), rel=1e-4
    )


def test_the_distance_of_black_and_white_is_one():
    black, white = np.zeros((1, 3, 4, 4), np.uint8), np.full((1, 3, 4, 4), 255, np.uint8)
    assert nearest_pictures(black, white).distance.item() == 1
