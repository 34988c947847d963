"""The networks. Imports torch and itself, nothing else."""

from models.build import build_model, parameter_count, parameter_shapes
from models.unet import UNet

__all__ = ["UNet", "build_model", "parameter_count", "parameter_shapes"]
