"""The classes of real pictures, as far as the network knows them."""

import numpy as np
import torch
from torch import Tensor

from datasets import LabelledImages
from sampling.trained import Trained


def labels_of(trained: Trained, data: LabelledImages, chosen: np.ndarray) -> Tensor | None:
    """The labels of the pictures `chosen`, an array of their places among `data`, like it; None where there are no classes.

    All are the null label where these pictures are not known to be of the classes that the network was trained on.
    """
    if trained.num_classes == 0:
        return None
    if data.labels is None or len(data.class_names) != trained.num_classes or data.class_names != trained.classes.names:
        return torch.full(chosen.shape, trained.num_classes)
    return torch.from_numpy(data.labels[chosen])
