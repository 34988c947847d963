"""The real pictures that drawn ones are compared with, their features kept beside the decoded pictures."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from datasets import ImageDataset
from evaluation.extractor import Extractor, Features, as_tensor
from utils.distributed import Ranks
from utils.errors import RequestError
from utils.files import atomic_write


class RealPictures(NamedTuple):
    """Real pictures: what they are (as in "mnist_mini, train split"), uint8 (N, C, H, W), their features and classes.

    features: None where there is no extractor. labels: int64 (N,), or None where the data has none. class_names: one a class.
    """

    name: str
    pictures: np.ndarray
    features: Features | None
    labels: Tensor | None = None
    class_names: tuple[str, ...] = ()

    def part(self, name: str, index: np.ndarray) -> "RealPictures":
        """Those at `index`, in that order, called `name`."""
        features = self.features and Features(self.features.features[index], self.features.logits[index])
        labels = None if self.labels is None else self.labels[index]
        return RealPictures(name, self.pictures[index], features, labels, self.class_names)


def load_real(
    data: ImageDataset, split: str, extractor: Extractor | None, ranks: Ranks | None = None
) -> RealPictures:
    """A whole split of the data. RequestError where the set has no such split, or cannot be read.

    The features are kept in `cache_dir`, by data set, split, size, channels, the files' state and the extractor's hash. The
    labels are kept with the decoded pictures. The `ranks` share the making of features that are missing.
    """
    loaded, name = data.load(split), f"{data.source}, {split} split"
    images = loaded.images
    labels = None if loaded.labels is None else as_tensor(loaded.labels)
    if extractor is None:
        return RealPictures(name, images, None, labels, loaded.class_names)
    decoded = Path(images.filename)  # named by the set, its split, its files' state and the pictures' shape
    path = decoded.with_name(f"{decoded.stem}_{extractor.name}_{extractor.hash}.safetensors")
    features = _kept_features(path, len(images), extractor)
    is_main = ranks is None or ranks.is_main
    is_missing = features is None if ranks is None else ranks.broadcast_from_rank0(lambda: features is None)
    if is_missing:
        features = extractor(images, ranks=ranks)
    elif features is None:
        features = extractor(images)  # another machine's disk has them
    if is_missing and is_main:
        try:
            with atomic_write(path) as temporary:
                save_file(features._asdict(), temporary, {"split": split, "extractor": str(extractor)})
        except (OSError, SafetensorError) as error:
            raise RequestError(f"cannot write features to {path} ({error}); set data.cache_dir") from None
        same_set = decoded.stem.rsplit("_", 1)[0]
        for old in path.parent.glob(f"{same_set}_*_{extractor.name}_*.safetensors"):
            if old != path:
                old.unlink(missing_ok=True)  # of what the files or the extractor were before
    return RealPictures(name, images, features, labels, loaded.class_names)


def _kept_features(path: Path, count: int, extractor: Extractor) -> Features | None:
    """Those in the file `path`; None where it is missing or damaged."""
    if not os.path.exists(path):
        return None
    try:
        features = Features(**load_file(path))
    except (OSError, SafetensorError, TypeError):
        return None
    return features if features.features.shape == (count, extractor.dimension) else None


class Reference(NamedTuple):
    """Real pictures: `real`, which drawn ones are compared with, and `held_out`, which are not among them.

    What held-out pictures give, compared with `held_out_reference`, is the floor of a figure. `held_out_reference` is
    `real` wherever the data has a test split; else both are halves of the training pictures, and say so.
    """

    real: RealPictures
    held_out: RealPictures
    held_out_reference: RealPictures

    def held_out_part(self, count: int, seed: int) -> RealPictures:
        """So many of those held out, or all where they are fewer, chosen by `seed`: those of a floor."""
        chosen = np.random.default_rng(seed).permutation(len(self.held_out.pictures))[:count]
        return self.held_out.part(self.held_out.name, np.sort(chosen))


def load_reference(
    data: ImageDataset, split: str, extractor: Extractor | None, *, seed: int = 0, ranks: Ranks | None = None
) -> Reference:
    """The `split` ("train" or "test") of the data as `real`, and its other split as what is held out.

    A set without a test split is halved at random, by `seed`, for the floor. RequestError if that split is asked for.
    """
    real = load_real(data, split, extractor, ranks)
    if data.has_split("test"):
        held_out = load_real(data, "test" if split == "train" else "train", extractor, ranks)
        return Reference(real, held_out, real)
    order = np.random.default_rng(seed).permutation(len(real.pictures))
    half = len(order) // 2
    return Reference(
        real,
        real.part(f"{data.source}, a half of the training pictures, as none are held out", order[:half]),
        real.part(f"{data.source}, the other half", order[half:]),
    )
