"""How good the drawn pictures are: figures from torch-fidelity, their protocol, memorisation, likelihood.

Needs requirements-evaluate.txt; importing this package without it is a RequestError that says so.
"""

from importlib.util import find_spec

from utils.errors import RequestError

MISSING = [name for name in ("torch_fidelity", "matplotlib") if find_spec(name) is None]
if MISSING:
    raise RequestError(
        f"measuring needs {' and '.join(MISSING)}, not installed here: python -m pip install -r requirements-evaluate.txt"
    )
