"""What train_solver.py and `python -m datasets` can be told on the command line. Loads no torch: --help answers at once."""

import argparse
from collections.abc import Sequence

from utils.script import Arguments


def parse_args(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for by `words`, or on the command line.

    Exits with status 2, and one line, for what is not known; answers --help and --version itself.
    """
    parser = Arguments("Trains a diffusion model: python train_solver.py --data_name Mnist_Mini", takes_settings=True)
    parser.add_argument("--data_name", required=True, metavar="NAME", help="an entry of Train_Data in --config")
    _add_configuration(parser, "train.learning_rate=2e-4")
    parser.add_argument("--save_dir", metavar="DIR", help="where the run is kept (train_results/NAME)")
    resume = "auto: go on with the run in save_dir, if there is one; never: refuse if there is one"
    parser.add_argument("--resume", choices=["auto", "never"], default="auto", help=resume)
    start = "the weights of this model.safetensors are the first ones of a new run, and its network and diffusion the run's"
    parser.add_argument("--start_from", metavar="FILE", help=start)
    parser.add_argument("--seed", type=int, metavar="N", help="everything random follows from it")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--max_steps", type=int, metavar="N", help="stop after step N, whatever train_epoch says")
    parser.add_argument("--dry_run", action="store_true", help="print what would be done, and stop")
    return parser.parse_args(words)


def parse_data_args() -> argparse.Namespace:
    """As `parse_args`, for `python -m datasets`."""
    parser = Arguments("Shows what is in a data set: python -m datasets Mnist_Mini", takes_settings=True)
    parser.prog, parser.usage = "-m datasets", "python -m datasets NAME [options]"
    parser.add_argument("data_name", metavar="NAME", help="an entry of Train_Data in --config")
    _add_configuration(parser, "data.image_size=64")
    parser.add_argument("--data_path", metavar="PATH", help="look at these pictures instead of the entry's")
    parser.add_argument("--split", choices=["train", "test"], default="train", help="which pictures (train)")
    parser.add_argument("--save_dir", default="results", metavar="DIR", help="where the contact sheet goes (results)")
    return parser.parse_args()


def _add_configuration(parser: argparse.ArgumentParser, example: str) -> None:
    """Where the entry stands, and what overrides its settings, as in `example`."""
    parser.add_argument("--config", default="config.yaml", metavar="FILE", help="the configuration (config.yaml)")
    help = f"override a setting, as in {example}; may be given several times"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help=help)
