"""Other people's formats: checkpoints that this project did not write, and what others read.

As programs: python -m interop --help
"""

__all__ = ["open_checkpoint"]


def __getattr__(name: str) -> object:
    """Loads torch with the first thing that is asked for, and not before: `python -m interop --help` answers at once."""
    if name == "open_checkpoint":
        from interop.checkpoints import open_checkpoint

        return open_checkpoint
    raise AttributeError(f"module 'interop' has no attribute {name!r}")
