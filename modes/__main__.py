"""What run_test.sh asks of the table of modes: python -m modes requirements|options MODE ...

requirements: the files of packages that the modes need; options: those that any of them takes. On one line.
"""

import sys

from modes import MODES
from modes.options import OPTIONS, modes_of


def answer(question: str, names: list[str]) -> list[str]:
    """The names of files or options. A mode that is not known takes and needs all: test_solver.py is to refuse it."""
    known = [name for name in names if name in MODES] or list(MODES)
    if question == "requirements":
        needed = [MODES[name].requirements for name in known if MODES[name].requirements]
        return list(dict.fromkeys(["requirements.txt", *needed]))
    return [option for option in OPTIONS if set(modes_of(option)) & set(known)]


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("requirements", "options"):
        sys.exit(__doc__)
    print(" ".join(answer(sys.argv[1], sys.argv[2:])))
