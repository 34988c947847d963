"""Opens a page to play with trained models: drawing, comparing, interpolating, repairing, understanding, watching a training.

Without --model_path it offers every checkpoint in checkpoints/ and train_results/.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from utils.script import Arguments, run_script
from utils.threads import wait_passively


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = Arguments(__doc__)
    parser.add_argument("--model_path", nargs="+", default=[], metavar="FILE", help="offer these checkpoints alone")
    parser.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0: for every machine that reaches this one (127.0.0.1)"
    )
    parser.add_argument("--port", type=port_number, metavar="N", help="(the first free one from 7860 on)")
    parser.add_argument("--auth", type=user_and_password, metavar="USER:PASSWORD", help="ask visitors for these")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto", help="(auto)")
    return parser.parse_args()


def port_number(text: str) -> int:
    """0, which is any, to 65535."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"a number from 0 to 65535, not {text}")
    return int(text)


def user_and_password(text: str) -> tuple[str, str]:
    """me:secret as ("me", "secret")."""
    user, _, password = text.partition(":")
    if not (user and password):
        raise argparse.ArgumentTypeError("it is USER:PASSWORD, as in me:secret")
    return user, password


if __name__ == "__main__":
    wait_passively()
    ARGS = parse_args()  # before torch is loaded, so that --help answers at once

    if find_spec("gradio") is None:
        print("error: the page needs gradio: python -m pip install -r requirements-demo.txt", file=sys.stderr)
        sys.exit(2)

from page.app import build, serve
from page.controls import Page
from page.limits import Limits
from page.machine import Machine
from page.offered import Offered
from utils.device import check_device_works, pick_device


def main(args: argparse.Namespace) -> int:
    device = pick_device(args.device)
    check_device_works(device)
    limits = Limits()
    shipped = Path(__file__).resolve().parent / "checkpoints"
    offered = Offered(shipped, Path("train_results").absolute(), args.model_path, device, limits)
    offered.check()
    root = build(Page(offered, Machine(), limits))
    served = serve(root, args.host, args.port, args.auth)
    print(f"Offers:  {', '.join(offered.models())}, on {device}")
    print(f"Page:    {served.address} (Ctrl-C ends it)", flush=True)
    served.thread.join()
    return 0


if __name__ == "__main__":
    run_script(lambda: main(ARGS))
