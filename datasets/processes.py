"""Decoding by several processes: each is told ranges of places, and answers when their pictures are on the disk.

They are plain subprocesses that load numpy and Pillow alone. (multiprocessing would make each load the training script, and
torch with it; forking a process that has threads is not safe.) Places go out as a line of text, answers come as JSON.
"""

import json
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

from datasets.decoding import Chunk, Job, Tell, Unreadable, decode_chunk, quiet_pillow
from utils.errors import RequestError

ROOT = Path(__file__).resolve().parent.parent
TELL_SECONDS = 0.2  # between two words of a process on how far it is


def decode_in_processes(job: Job, chunks: Sequence[range], tell: Tell, process_num: int) -> Iterator[Chunk]:
    """Decodes the chunks in `process_num` processes, and gives each when it is on the disk, in any order.

    They end with this one, however it ends: they notice that nobody listens. Raises what `decode_chunk` does, and
    RequestError where one of them is killed.
    """
    idle, lock, workers, futures = queue.SimpleQueue(), threading.Lock(), [], []

    def locked_tell(count: int) -> None:
        with lock:
            tell(count)

    def decode(places: range) -> Chunk:
        worker = idle.get()
        try:
            return ask(worker, places, locked_tell)
        finally:
            idle.put(worker)

    try:
        with ThreadPoolExecutor(process_num) as pool:
            try:
                for _ in range(process_num):
                    workers.append(start_worker(job))
                    idle.put(workers[-1])
                futures = [pool.submit(decode, places) for places in chunks]
                for future in as_completed(futures):
                    yield future.result()
            finally:
                for future in futures:
                    future.cancel()
                for worker in workers:
                    worker.kill()  # whoever waits for its answer finds that there is none
    finally:
        for worker in workers:
            worker.communicate()  # closes the pipes


def start_worker(job: Job) -> subprocess.Popen:
    """A process that has been given the job and waits for places."""
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from datasets.processes import work; work()"
    worker = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with suppress(OSError):  # it has ended, which is found when it is asked
        pickle.dump(job, worker.stdin)
        worker.stdin.flush()
    return worker


def ask(worker: subprocess.Popen, places: range, tell: Tell) -> Chunk:
    """Has a process decode the pictures at `places`."""
    with suppress(OSError):  # it has ended, which is found below
        worker.stdin.write(b"%d %d\n" % (places.start, places.stop))
        worker.stdin.flush()
    for line in worker.stdout:
        kind, value = json.loads(line)
        match kind:
            case "more":
                tell(value)
            case "done":
                return Chunk(places, [Unreadable(*fields) for fields in value])
            case "refused":
                raise RequestError(value)
            case "failed":
                raise OSError(*value)
    raise RequestError(
        f"a process that decoded pictures has ended (status {worker.wait()}; is the memory used up?); the same command goes "
        "on with what is left"
    )


def work() -> None:
    """What such a process does until its standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the first process ends the others
    answers, counts, told = sys.stdout.buffer, 0, time.monotonic()

    def answer(kind: str, value: object) -> None:
        answers.write(json.dumps([kind, value]).encode() + b"\n")
        answers.flush()

    def tell(count: int) -> None:
        nonlocal counts, told
        counts += count
        if time.monotonic() - told > TELL_SECONDS:
            answer("more", counts)
            counts, told = 0, time.monotonic()

    try:
        job = pickle.load(sys.stdin.buffer)
        with open(job.file, "r+b") as file, warnings.catch_warnings():
            quiet_pillow()
            for line in sys.stdin.buffer:
                start, stop = map(int, line.split())
                chunk = decode_chunk(job, range(start, stop), file, tell)
                answer("more", counts)
                counts = 0
                answer("done", chunk.skipped)
    except RequestError as error:
        answer("refused", str(error))
    except BrokenPipeError:
        sys.stdout = None  # the first process has ended
    except OSError as error:
        answer("failed", [error.errno, error.strerror, error.filename])
