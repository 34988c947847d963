"""The extractors: where they come from, what they see, and what is refused."""

import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from benchmarks import train_extractor
from datasets import ImageDataset
from evaluation.classifier import Classifier, normalise_features
from evaluation.extractor import as_tensor, check_suits, extractor_for, load_extractor
from evaluation.measures import measure
from tests.pictures import write_idx
from tests.processes import ROOT
from utils.errors import RequestError

# The extractors


def test_the_shipped_extractor_reads_digits_it_has_not_seen(extractor, reference):
    labels = torch.from_numpy(ImageDataset("mnist_mini", image_size=28, image_channel=1).load("test").labels)
    right = (reference.held_out.features.logits.argmax(dim=1) == labels).double().mean().item()
    assert right >= 0.98
    path = "checkpoints/digits_extractor.safetensors"
    with safe_open(path, framework="pt") as file:
        said = file.metadata()
    assert float(said["held_out_accuracy"]) == pytest.approx(right, abs=0.0011) and said["data_name"] == "Mnist_Mini"
    assert os.path.getsize(path) < 600_000
    assert reference.real.features.features.square().mean().item() == pytest.approx(1, rel=0.01)


def test_scaling_the_features_changes_no_logit():
    torch.manual_seed(0)
    model, x = Classifier().eval(), torch.rand(8, 1, 28, 28)
    before = model(x)
    normalise_features(model, x)
    after = model(x)
    torch.testing.assert_close(after[1], before[1], rtol=1e-4, atol=1e-5)
    assert after[0].square().mean().item() == pytest.approx(1, rel=1e-4)


def test_an_extractor_takes_other_sizes_and_colours(extractor, reference):
    digits = as_tensor(reference.held_out.pictures[:50])
    plain = extractor(digits).features
    torch.testing.assert_close(extractor(digits.expand(-1, 3, -1, -1)).features, plain, rtol=1e-4, atol=1e-4)
    large = extractor(digits.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
    assert (large.logits.argmax(dim=1) == extractor(digits).logits.argmax(dim=1)).double().mean() > 0.95
    assert (
        extractor_for("mnist") == "digits"
        and extractor_for("fashion_mnist") == "clothes"
        and extractor_for("cifar10", "weights.pth") == "inception"
    )


def test_the_same_script_makes_an_extractor_for_clothes(tmp_path, monkeypatch):
    """On 300 made-up clothes in Fashion-MNIST's own files, each class a brightness: learned within seconds."""
    labels = np.arange(300, dtype=np.uint8) % 10
    pictures = np.broadcast_to((labels * 25)[:, None, None], (300, 28, 28)).astype(np.uint8)
    for name in ("train", "t10k"):
        write_idx(tmp_path / "FashionMNIST/raw" / f"{name}-images-idx3-ubyte", pictures)
        write_idx(tmp_path / "FashionMNIST/raw" / f"{name}-labels-idx1-ubyte", labels)
    output = tmp_path / "clothes_extractor.safetensors"
    monkeypatch.chdir(ROOT)
    arguments = {
        "data_name": "Fashion_Mnist",
        "data_path": str(tmp_path),
        "epochs": 8,
        "seed": 0,
        "output": str(output),
    }
    assert train_extractor.main(SimpleNamespace(**arguments)) == 0
    with safe_open(output, framework="pt") as file:
        assert file.metadata()["extractor"] == "clothes" and float(file.metadata()["held_out_accuracy"]) > 0.5
    monkeypatch.setattr("evaluation.extractor.FOLDER", tmp_path)
    made = load_extractor("clothes")
    assert made(pictures[:20, None]).features.shape == (20, 64) and made.is_classifier
    with pytest.raises(RequestError, match="Emoji has no classes"):
        train_extractor.main(SimpleNamespace(**{**arguments, "data_name": "Emoji"}))


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory):
    """Inception as it is before training: the real network, with numbers of no meaning."""
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    patch = pytest.MonkeyPatch()
    patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: None)
    patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    patch.undo()
    torch.save(network.state_dict(), path)
    return path


def test_inception_takes_grey_pictures_from_a_file(inception_weights, reference):
    inception = load_extractor("inception", inception_weights)
    grey = reference.held_out.pictures[:2]
    found = inception(grey)
    assert found.features.shape == (2, 2048) and found.logits.shape == (2, 1008) and not inception.is_classifier
    torch.testing.assert_close(found.features, inception(grey.repeat(3, axis=1)).features)
    with pytest.raises(RequestError, match="2 pictures are too few for the 2,048 features of inception"):
        measure(found, found, inception)


class Mark:
    """Unpickled freely, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_weights_that_are_missing_damaged_or_malicious_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(RequestError, match="https://.*weights-inception.*--inception_weights FILE") as error:
        load_extractor("inception")
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
    mark = tmp_path / "mark"
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"fc.weight": Mark(mark)}))
    (tmp_path / "broken.pth").write_bytes(b"not weights")
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.pth")
    torch.save([1], tmp_path / "list.pth")
    for name in ("evil", "broken", "other", "list"):
        with pytest.raises(RequestError, match=f"{name}.pth"):
            load_extractor("inception", tmp_path / f"{name}.pth")
    assert not mark.exists()
    with pytest.raises(RequestError, match="digits, clothes, inception"):
        load_extractor("vgg")
    with pytest.raises(RequestError, match="belongs to --extractor inception"):
        load_extractor("digits", tmp_path / "evil.pth")
    monkeypatch.setattr("evaluation.extractor.FOLDER", tmp_path)
    with pytest.raises(RequestError, match="train_extractor --data_name Fashion_Mnist"):
        load_extractor("clothes")


@pytest.mark.parametrize("name, source", [("digits", "emoji"), ("digits", "fashion_mnist"), ("clothes", "mnist")])
def test_a_classifier_of_other_things_is_refused(name, source):
    with pytest.raises(RequestError, match=f"says nothing of {source}: --extractor {extractor_for(source)} is the one"):
        check_suits(name, source)


def test_a_classifier_of_the_data_or_of_what_may_be_its_data_is_taken():
    for name, source in [("digits", "mnist_mini"), ("digits", "folder"), ("clothes", "fashion_mnist"), ("inception", "emoji")]:
        check_suits(name, source)
