"""A run on disk, for the tests of this folder."""

import pytest

from tests.small_training import advance, make_trainer


@pytest.fixture
def run(tmp_path):
    """A run with a state of step 3, and the one before it, of step 1."""
    trainer = make_trainer()
    advance(trainer, 1)
    trainer.save(tmp_path)
    advance(trainer, 2)
    trainer.save(tmp_path)
    return tmp_path
