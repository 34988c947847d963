"""Opens a page to play with trained models: drawing, comparing, interpolating, repairing, understanding, watching a training.

Without --model_path it offers every checkpoint in checkpoints/ and train_results/.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from utils.errors import RequestError
from utils.script import Arguments, run_script
from utils.threads import wait_passively


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = Arguments(__doc__)
    parser.add_argument("--model_path", nargs="+", default=[], metavar="FILE", help="offer these checkpoints alone")
    parser.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0: for every machine that reaches this one (127.0.0.1)"
    )
    parser.add_argument("--port", type=int, metavar="N", help="(the first free one from 7860 on)")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="ask visitors for these")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto", help="(auto)")
    return parser.parse_args()


if __name__ == "__main__":
    wait_passively()
    ARGS = parse_args()  # before torch is loaded, so that --help answers at once

    if find_spec("gradio") is None:
        sys.exit("error: the page needs gradio: python -m pip install -r requirements-demo.txt")

from page.app import build, serve
from page.controls import Page
from page.limits import Limits
from page.machine import Machine
from page.offered import Offered
from utils.device import check_device_works, pick_device


def main(args: argparse.Namespace) -> int:
    user, colon, password = (args.auth or "").partition(":")
    if args.auth is not None and not (user and colon and password):
        raise RequestError("--auth is USER:PASSWORD")
    if args.port is not None and not 0 <= args.port <= 65_535:
        raise RequestError(f"--port {args.port}: it must be at least 0 and at most 65535")
    device = pick_device(args.device)
    check_device_works(device)
    limits = Limits()
    shipped = Path(__file__).resolve().parent / "checkpoints"
    offered = Offered(shipped, Path("train_results").absolute(), args.model_path, device, limits)
    offered.check()
    root = build(Page(offered, Machine(), limits))
    served = serve(root, args.host, args.port, (user, password) if args.auth else None)
    print(f"Offers:  {', '.join(offered.models())}, on {device}")
    print(f"Page:    {served.address} (Ctrl-C ends it)", flush=True)
    served.thread.join()
    return 0


if __name__ == "__main__":
    run_script(lambda: main(ARGS))
