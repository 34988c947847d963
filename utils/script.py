"""What both scripts do before and around their work: signals, mistakes, exit statuses."""

import os
import signal
import sys
from collections.abc import Callable


class StopSignal:
    """Turns the first SIGINT or SIGTERM into a request to stop after the current step; a second one stops at once.

    Not so under torchrun: it passes on what a terminal or a scheduler may send to its processes too, so that one request comes
    twice; and it ends by itself what does not stop within half a minute.
    """

    def __init__(self):
        self.number: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.number = number
        for again in (signal.SIGINT, signal.SIGTERM):
            signal.signal(again, signal.SIG_IGN if "TORCHELASTIC_RUN_ID" in os.environ else signal.SIG_DFL)

    @property
    def exit_status(self) -> int:
        """130 after SIGINT, 143 after SIGTERM, else 0."""
        return 0 if self.number is None else 128 + self.number


def run_script(main: Callable[[], int]) -> None:
    """Runs a script's `main` and exits with its status; a RequestError is one line on stderr and status 2."""
    from utils.errors import RequestError

    try:
        status = main()
    except RequestError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except BrokenPipeError:  # the reader of our output is gone (| head): nothing to say, and no one to say it to
        sys.stderr.close()
        status = 141
    except OSError as error:  # a full disk, a folder that cannot be written: the user's to mend, and no bug of ours
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
