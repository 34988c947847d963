"""The scripts in processes of their own, as a user runs them, but forked from one that has loaded torch already.

Loading it takes seconds on a small machine, and there are hundreds of runs. Everything else is real: the file is executed as
__main__, with its own arguments, environment, output and exit status; it can be killed and signalled.
"""

import multiprocessing
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TINY = [
    "model.base_channels=8",
    "model.norm_groups=4",
    "train.batch_size=4",
    "sample.sample_num=4",
    "sample.sample_info=DDIM_2_0p0",
    "train.save_minutes=null",  # what is saved and drawn does not depend on the machine's speed
]
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.warm"])


def _child(script, arguments, environment, cwd, stdout, stderr):
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # As a terminal would start it: where the tests run in the background, both are ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.chdir(cwd)
    os.environ.update(environment)
    sys.argv = [script, *arguments]
    sys.path.insert(0, ROOT)
    runpy.run_path(os.path.join(ROOT, script), run_name="__main__")


class Script:
    """A script that is running."""

    def __init__(self, script, *arguments, environment=None, cwd=ROOT):
        self.folder = tempfile.TemporaryDirectory()
        self.paths = [os.path.join(self.folder.name, name) for name in ("stdout", "stderr")]
        arguments = tuple(map(str, arguments))
        environment = {"OMP_NUM_THREADS": "1", "COLUMNS": "200", **(environment or {})}
        self.process = _CONTEXT.Process(target=_child, args=(script, arguments, environment, str(cwd), *self.paths))
        self.process.start()
        self.pid = self.process.pid

    @property
    def running(self):
        return self.process.is_alive()

    def wait(self, timeout=300):
        """Its end: subprocess's CompletedProcess. It is killed, and the test fails, if it does not come in time."""
        self.process.join(timeout)
        if self.running:
            self.process.kill()
            raise AssertionError(f"still running after {timeout} s: {[text[-1000:] for text in self._read()]}")
        return subprocess.CompletedProcess(None, self.process.exitcode, *self._read())

    def kill(self, number):
        os.kill(self.pid, number)

    def _read(self):
        texts = []
        for path in self.paths:
            try:
                with open(path, encoding="utf-8") as file:
                    texts.append(file.read())
            except FileNotFoundError:  # killed before it began
                texts.append("")
        return texts


def run(script, *arguments, environment=None, cwd=ROOT, timeout=300):
    return Script(script, *arguments, environment=environment, cwd=cwd).wait(timeout)


def start_training(folder, *arguments, data_name="Mnist_Mini", settings=TINY, environment=None, cwd=ROOT):
    overrides = [word for setting in settings for word in ("--set", setting)]
    return Script(
        "train_solver.py",
        "--data_name",
        data_name,
        "--save_dir",
        folder,
        *overrides,
        *arguments,
        environment=environment,
        cwd=cwd,
    )


def train(folder, *arguments, **options):
    return start_training(folder, *arguments, **options).wait()


def wait_for(condition, seconds=120):
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline, "it did not come"
        time.sleep(0.02)


def torchrun(count, script, *arguments, environment=None):
    """The script on `count` ranks, with the environment that torchrun gives its processes. The ends of all."""
    port = str(20_000 + (os.getpid() * 7 + int(time.time() * 1000)) % 30_000)
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **(environment or {})}
    ranks = [
        Script(script, *arguments, environment={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]
    return [rank.wait() for rank in ranks]


def done(process):
    """Its output, if it ended well."""
    assert process.returncode == 0, (process.returncode, process.stderr)
    return process.stdout


def refused(process, *words):
    """Exit status 2, and one line that holds `words`."""
    lines = [
        line for line in process.stderr.splitlines() if line and not re.search(r"\d/\d+ \[", line)
    ]  # no progress bar
    assert process.returncode == 2, (process.returncode, process.stderr)
    assert len(lines) == 1 and lines[0].startswith("error: "), process.stderr
    for word in words:
        assert word in lines[0], (word, lines[0])


def files(folder):
    return sorted(
        os.path.relpath(os.path.join(path, name), folder) for path, _, names in os.walk(folder) for name in names
    )
