"""What both scripts do before and around their work: arguments, signals, mistakes, exit statuses.

Imports nothing that takes time: --help and a mistyped option answer at once.
"""

import argparse
import difflib
import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from utils.errors import RequestError, explain_failure, is_lost_rank, one_line
from utils.version import VERSION

SCHEMA = Path(__file__).resolve().parent.parent / "config.schema.json"


class Arguments(argparse.ArgumentParser):
    """An ArgumentParser whose complaint is one line, and which guesses at no abbreviation."""

    def __init__(
        self, description: str, *, prog: str | None = None, epilog: str | None = None, takes_settings: bool = False
    ):
        """prog: how it is called behind `python`; None: by its file. epilog: what --help shows at the end, line by line as
        it is. `takes_settings`: whether there is a --set, to which an option that is a setting's name is told to belong."""
        super().__init__(prog=prog, description=description, epilog=epilog, allow_abbrev=False)
        if epilog is not None:
            self.formatter_class = argparse.RawDescriptionHelpFormatter
        self.takes_settings = takes_settings
        self.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")

    def parse_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None):
        """As ever; exits with status 2 and one line for anything that is not known."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            # Until run_script begins, that is while torch is loading, there is nothing to save: leave without a traceback.
            signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
        known, rest = self.parse_known_args(args, namespace)
        if rest:
            option = rest[0].split("=")[0]
            near = difflib.get_close_matches(option, self._option_string_actions, n=1)
            if self.takes_settings and option.removeprefix("--") in (places := setting_places()):
                near = [f"--set {places[option.removeprefix('--')]}=VALUE"]
            self.error(f"{rest[0]} is not known" + (f"; did you mean {near[0]}?" if near else ""))
        return known

    def error(self, message: str) -> NoReturn:
        """`error: --sample_num: not a whole number: 'abc'; python test_solver.py --help shows every option`."""
        message = message.removeprefix("argument ").replace("invalid int value", "not a whole number")
        message = message.replace("invalid float value", "not a number")
        self.exit(2, f"error: {one_line(message)}; python {self.prog} --help shows every option\n")


def setting_places() -> dict[str, str]:
    """Each setting's name -> BLOCK.NAME, of the first block that has it. From the schema: the settings would load torch."""
    blocks = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
    places: dict[str, str] = {}
    for block, value in blocks["Blocks"]["properties"].items():
        for name in blocks[value["$ref"].rpartition("/")[2]]["properties"]:
            places.setdefault(name, f"{block}.{name}")
    return places


class StopSignal:
    """Turns the first SIGINT, SIGTERM or SIGHUP into a request to stop after the current step; a second one stops at once.

    Not so under torchrun: it passes on what a terminal or a scheduler may send to its processes too, so that one request comes
    twice; and it ends by itself what does not stop within half a minute. `number` is 0 until a signal has come.
    """

    def __init__(self):
        self.number = 0
        # Windows has no SIGHUP; nohup has it ignored, and that stands.
        self._hangup = getattr(signal, "SIGHUP", None)
        if self._hangup is not None and signal.getsignal(self._hangup) == signal.SIG_IGN:
            self._hangup = None
        self._numbers = [number for number in (signal.SIGINT, signal.SIGTERM, self._hangup) if number is not None]
        self._terminals = [handle for handle in (1, 2) if os.isatty(handle)]
        sys.stdout, sys.stderr = (_unless_hung_up(stream) for stream in (sys.stdout, sys.stderr))
        for number in self._numbers:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.number = number
        for again in self._numbers:
            # A closed terminal's SIGHUP comes from the system, and again from the shell.
            ignored = again == self._hangup or "TORCHELASTIC_RUN_ID" in os.environ
            signal.signal(again, signal.SIG_IGN if ignored else signal.SIG_DFL)
        if number == self._hangup:  # the terminal is gone: writing to it would fail, and lose the work
            for handle in self._terminals:
                os.dup2(os.open(os.devnull, os.O_WRONLY), handle)


class _Terminal:
    """A stream to a terminal: when that is gone (EIO), what is written is dropped, as its SIGHUP is on the way."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._tried(self._stream.write, text) or len(text)

    def flush(self) -> None:
        self._tried(self._stream.flush)

    def _tried(self, call: Callable[..., int | None], *arguments: str) -> int | None:
        try:
            return call(*arguments)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return None


def _unless_hung_up(stream: TextIO | None) -> TextIO | _Terminal | None:
    """`stream`, if it is a terminal's as one that outlives it."""
    return _Terminal(stream) if stream is not None and stream.isatty() else stream


def run_script(main: Callable[[], int]) -> None:
    """Runs a script's `main` and exits with its status; a RequestError is one line on stderr and status 2.

    So is all else that its user can cause, such as a full disk or a lack of memory; a traceback is a mistake of ours.
    """
    threading.excepthook = _leave_to_the_caller
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.stdout is not None:
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold bytes that are no text
    try:
        status = main()
        print(end="", flush=True)
    except BrokenPipeError:  # the reader of our output is gone (| head): nothing to say, and no one to say it to
        sys.stderr.close()
        status = 141
    except (RequestError, OSError, MemoryError, RuntimeError) as error:
        line = explain_failure(error)
        if line is None:
            raise
        status = 1 if is_lost_rank(error) else 2
        _flush_or_drop(sys.stdout)
        rank = int(os.environ.get("RANK", 0))
        _write_line(f"error{f' (rank {rank})' if rank > 0 else ''}: {one_line(line)}")
    except KeyboardInterrupt as interrupt:
        if interrupt.args:  # see utils.bars.interrupt_says
            _write_line(one_line(str(interrupt)))
        status = 130
    sys.exit(status)


def _write_line(line: str) -> None:
    """One line of its own on stderr, even if a progress bar stands there."""
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr)


def _flush_or_drop(stream: TextIO | None) -> None:
    """Writes what `stream` still holds; if that fails, lets go of it, or the interpreter would fail at it again."""
    try:
        print(end="", file=stream, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _leave_to_the_caller(failure: threading.ExceptHookArgs) -> None:
    """A thread that cannot write (TensorBoard's) keeps its error for whoever gave it the work: no second report."""
    if not isinstance(failure.exc_value, OSError):
        threading.__excepthook__(failure)
