"""The page, served by this very process, or by one of its own."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from page.app import build, serve
from page.controls import Page
from page.limits import Limits
from page.machine import Machine
from page.offered import Offered

ROOT = Path(__file__).resolve().parent.parent.parent


class Served(NamedTuple):
    page: Page
    address: str


def offered(runs=ROOT / "no_runs", paths=(), limits=None):
    return Offered(ROOT / "checkpoints", Path(runs), paths, torch.device("cpu"), limits or Limits())


@contextmanager
def served(runs=ROOT / "no_runs", auth=None):
    """The page, at a free port of this machine."""
    page = Page(offered(runs), Machine(), Limits())
    server = serve(build(page), "127.0.0.1", 0, auth)
    try:
        yield Served(page, server.address)
    finally:
        server.close()


@contextmanager
def served_by_demo():
    """The digits, at a free port, by `python demo.py` as a user starts it; its process, and the address that it names."""
    command = [sys.executable, "-u", "demo.py", "--port", "0", "--model_path", "checkpoints/mnist_mini.safetensors"]
    options = {"cwd": ROOT, "env": {**os.environ, "OMP_NUM_THREADS": "1"}, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as process:
        try:
            _, address = process.stdout.readline(), process.stdout.readline().split()[1]
            yield psutil.Process(process.pid), address
        finally:
            process.send_signal(signal.SIGINT)
