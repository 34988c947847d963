"""The page, served by this very process."""

from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

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
