"""How good drawn pictures are: the figures of an extractor's features, what can be told apart, memorisation, likelihood.

What needs torch-fidelity (requirements-evaluate.txt) asks for it by `require`; the likelihood does not need it.
"""

from importlib.util import find_spec

from utils.errors import RequestError

HASH_DIGITS = 12  # of a SHA-256, in records and in the names of caches


def require(*packages: str) -> None:
    """RequestError, one line that says how to install them, if any of `packages` (names to import) is not there."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise RequestError(
            f"measuring needs {' and '.join(missing)}, not installed here: "
            "python -m pip install -r requirements-evaluate.txt"
        )
