"""Imported once by the process that the tests fork theirs from: what both scripts load."""

import modes.compare
import modes.edit
import modes.evaluate
import modes.inpaint
import modes.interpolate
import modes.likelihood
import modes.random_gen
import modes.reconstruct
import modes.report  # noqa: F401
import test_solver  # noqa: F401
import train_solver  # noqa: F401
