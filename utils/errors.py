"""The one exception that the scripts turn into a line on stderr and exit status 2, and how a failure becomes one line."""

import errno

LONGEST_LINE = 2000

REMEDIES = {
    errno.ENOSPC: "make room on that disk, and give the same command again",
    errno.EDQUOT: "make room in your quota, and give the same command again",
    errno.EFBIG: "raise the limit (ulimit -f), and give the same command again",
    errno.EMFILE: "raise the limit (ulimit -n), and give the same command again",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.EROFS: "choose a place that can be written to",
    errno.ENOTDIR: "choose another place",
    errno.EEXIST: "move it away, or choose another place",
}
OUT_OF_MEMORY = (
    "the memory is used up: lower train.batch_size and sample.batch_size (--batch_size when drawing), "
    "raise train.accumulate, which works a batch in parts, or take a smaller network or smaller pictures"
)


class RequestError(Exception):
    """A request that cannot be met. Its message is one line: what is wrong, and what would be right."""


def one_line(text: str) -> str:
    """`text` with everything escaped that would break the line or steer a terminal, and cut where it is very long."""
    shown = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return shown if len(shown) <= LONGEST_LINE else f"{shown[:LONGEST_LINE]} ..."


def counted(number: int, noun: str) -> str:
    """`1 picture`, `2,000 pictures`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def reason_of(error: OSError) -> str:
    """What the system says, and what would help: `No space left on device; make room on that disk, ...`."""
    remedy = REMEDIES.get(error.errno)
    return (error.strerror or str(error)) + (f"; {remedy}" if remedy else "")


def explain_failure(error: BaseException) -> str | None:
    """What the user can do about `error`, without line breaks; None if it is none of theirs, but a mistake of ours."""
    if isinstance(error, RequestError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'a file or the output'}: {reason_of(error)}"
    # torch has no class of its own for the CPU's memory, and a class for the GPU's whose import would load torch.
    if isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error):
        return OUT_OF_MEMORY
    if is_lost_rank(error):
        return "another process of this run has stopped, and with it the run; what was wrong there is said there"
    return None


def is_lost_rank(error: BaseException) -> bool:
    """Whether torch.distributed could not reach another process: NCCL has errors of its own, gloo only a message."""
    named = type(error).__name__ in ("DistBackendError", "DistNetworkError", "DistStoreError")
    return named or (isinstance(error, RuntimeError) and "gloo" in str(error))
