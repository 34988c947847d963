"""Other people's formats: checkpoints that this project did not write."""

from interop.checkpoints import open_checkpoint

__all__ = ["open_checkpoint"]
