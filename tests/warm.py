"""Imported once by the process that the tests fork theirs from: what both scripts load."""

import test_solver  # noqa: F401
import train_solver  # noqa: F401
import utils.modes.compare
import utils.modes.evaluate
import utils.modes.interpolate
import utils.modes.likelihood
import utils.modes.random_gen
import utils.modes.reconstruct
import utils.modes.report  # noqa: F401
