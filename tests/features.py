"""What the tests of evaluation measure."""

import math

import numpy as np
import torch

from datasets import ImageDataset
from evaluation.extractor import Features

SHIPPED = "checkpoints/mnist_mini.safetensors"
DIGITS = ImageDataset(source="mnist_mini", image_size=28, image_channel=1)
CPU = torch.device("cpu")


def features_of(rows) -> Features:
    rows = torch.as_tensor(rows).float()
    return Features(rows, torch.zeros(len(rows), 10))


def two_point(mean: np.ndarray, root: np.ndarray) -> Features:
    """128 points with exactly this mean (64,) and this covariance root @ root.T (64, 64), N - 1 in the denominator."""
    directions = np.concatenate([np.eye(64), -np.eye(64)]) * math.sqrt((128 - 1) / 2)
    return features_of(mean + directions @ root.T)
