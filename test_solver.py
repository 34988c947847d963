"""Draws from a trained model: python test_solver.py --model_path checkpoints/mnist_mini.safetensors

The network, the diffusion and the data are those that the checkpoint names. `random_gen` draws new pictures,
`interpolate` goes from one real picture to another, `evaluate` and `likelihood` measure.
"""

import argparse
import importlib
from pathlib import Path

from utils.script import Arguments


DRAWING = ("random_gen", "interpolate", "reconstruct", "evaluate", "compare")
MODES = [*DRAWING, "likelihood", "report"]


def parse_args() -> argparse.Namespace:
    parser = Arguments(__doc__.split("\n")[0])
    parser.add_argument(
        "--model_path",
        required=True,
        nargs="+",
        metavar="FILE",
        help="a model.safetensors or a trainer_state.pt; compare: one or several",
    )
    parser.add_argument("--test_mode", choices=MODES, default="random_gen")
    parser.add_argument(
        "--sample_info",
        nargs="+",
        metavar="METHOD_STEPS_ETA",
        help="the sampler, as in DDPM_1000_0p0 or DDIM_50_0p0 (the checkpoint's sample.sample_info); compare: or several",
    )
    parser.add_argument(
        "--sample_num",
        type=int,
        metavar="N",
        help="pictures to draw, pairs to interpolate, or real pictures to measure (by mode)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="picture i is that of seed N + i (0)")
    parser.add_argument("--batch_size", type=int, metavar="N", help="pictures drawn at a time")
    parser.add_argument("--save_dir", default="results", metavar="DIR", help="where the pictures go (results)")
    parser.add_argument(
        "--save_images", action="store_true", help="random_gen: also write each picture, named by its seed"
    )
    parser.add_argument("--weights", choices=["ema", "raw"], default="ema", help="averaged weights, or the last step's")
    parser.add_argument(
        "--clip_denoised",
        choices=["true", "false", "dynamic"],
        help="clip the predicted x_0 while drawing (the checkpoint's diffusion.clip_denoised)",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto")
    parser.add_argument(
        "--precision",
        choices=["auto", "fp32", "tf32", "bf16", "fp16"],
        default="auto",
        help="of the network's arithmetic",
    )
    parser.add_argument(
        "--compile",
        choices=["auto", "yes", "no"],
        help="random_gen: torch.compile the network (auto: on a GPU, to draw so much that it repays the wait)",
    )
    add_options_of_modes(parser)
    return parser.parse_args()


def add_options_of_modes(parser: argparse.ArgumentParser) -> None:
    checked = parser.add_argument_group("checked against the checkpoint; needed only for one that carries no settings")
    for name in ("image_size", "image_channel", "training_timestep_num"):
        checked.add_argument(f"--{name}", type=int, metavar="N")
    pictures = parser.add_argument_group("all but random_gen: where the real pictures come from")
    pictures.add_argument("--data_name", metavar="NAME", help="take the real pictures from another entry of --config")
    pictures.add_argument("--data_path", metavar="PATH", help="take them from this folder (or find the data set there)")
    pictures.add_argument("--config", metavar="FILE", help="where --data_name is looked up (config.yaml)")
    between = parser.add_argument_group("interpolate")
    between.add_argument(
        "--interpolate_mode",
        choices=["lerp", "slerp", "ddim"],
        help="what is mixed: noised pictures, with lerp's straight or slerp's noise; or latents (slerp)",
    )
    between.add_argument(
        "--interpolate_steps",
        type=int,
        metavar="N",
        help="steps of noise (half of the training's: 500 of 1000; ddim: all)",
    )
    between.add_argument("--interpolate_num", type=int, metavar="N", help="coefficients from 0 to 1 (11)")
    measuring = parser.add_argument_group("evaluate, compare and likelihood")
    measuring.add_argument(
        "--split",
        choices=["train", "test"],
        help="the real pictures: evaluate's reference (train), those that likelihood measures (test)",
    )
    measuring.add_argument(
        "--repeats", type=int, metavar="N", help="evaluate, compare: so many lots, of different seeds (1)"
    )
    measuring.add_argument(
        "--extractor",
        metavar="NAME",
        help="evaluate, compare: digits, clothes or inception (the one that suits the data)",
    )
    measuring.add_argument(
        "--inception_weights", metavar="FILE", help="evaluate, compare: where Inception's weights are"
    )
    measuring.add_argument(
        "--likelihood_steps", type=int, metavar="N", help="likelihood: timesteps for each picture (100; or all of them)"
    )


if __name__ == "__main__":
    ARGS = parse_args()  # before torch is loaded, so that --help answers at once

from utils.distributed import Ranks, silence_other_ranks
from utils.errors import RequestError
from utils.files import check_writable
from utils.script import run_script
from utils.version import VERSION
from sampling.trained import load_trained, parse_sampler

SHARED_MODES = ("random_gen",)  # whose work torchrun's processes share out

# The options that only some modes know: given with another, they would be ignored.
MODE_OPTIONS = {
    ("random_gen",): ["save_images", "compile"],
    DRAWING: ["sample_info", "clip_denoised"],  # likelihood takes every step
    (*DRAWING, "likelihood"): ["sample_num", "batch_size"],
    ("interpolate", "reconstruct", "evaluate", "likelihood"): ["data_name", "data_path", "config"],
    ("evaluate", "likelihood"): ["split"],
    ("evaluate", "compare"): ["repeats", "extractor", "inception_weights"],
    ("likelihood",): ["likelihood_steps"],
    ("interpolate",): ["interpolate_mode", "interpolate_steps", "interpolate_num"],
}


def main(args: argparse.Namespace) -> int:
    silence_other_ranks()
    check_request(args)
    ranks = Ranks(args.device)
    if ranks.size > 1 and args.test_mode not in SHARED_MODES:
        raise RequestError(f"--test_mode {args.test_mode} runs in one process: python test_solver.py, without torchrun")
    clip = {None: None, "true": True, "false": False, "dynamic": "dynamic"}[args.clip_denoised]
    stated = {name: getattr(args, name) for name in ("image_size", "image_channel")}
    stated["timestep_num"] = args.training_timestep_num
    models = [
        load_trained(path, args.weights, ranks.device, args.precision, clip, **stated) for path in args.model_path
    ]
    texts = args.sample_info or [models[0].settings.sample.sample_info]
    least = min(model.settings.diffusion.timestep_num for model in models)
    classes = min(model.settings.model.num_classes for model in models)
    samplers = [parse_sampler(text, least, classes) for text in texts]
    print(f"Version: {VERSION}")
    for trained in models:
        print(f"Model:   {trained.path}: {trained.settings.data_name}, step {trained.step:,}, {trained.weights} weights")
    chain = "every step of the training" if args.test_mode == "likelihood" else ", ".join(map(str, samplers))
    if args.test_mode != "report":
        print(f"Sampler: {chain}, on {ranks.device} in {models[0].precision}")
    mode = importlib.import_module(f"modes.{args.test_mode}")  # each loads only what it needs
    chosen = (models, samplers) if args.test_mode == "compare" else (models[0], samplers[0])
    shared = {"ranks": ranks} if args.test_mode in SHARED_MODES else {}
    for path in mode.run(args, *chosen, **shared):
        print(f"Wrote:   {path}")
    ranks.close()
    return 0


def check_request(args: argparse.Namespace) -> None:
    """RequestError for an option of another mode, a number that makes no sense, or a folder that cannot be written."""
    for mode, options in MODE_OPTIONS.items():
        for name in options:
            if getattr(args, name) and args.test_mode not in mode:
                raise RequestError(f"--{name} belongs to --test_mode {' or '.join(mode)}, not {args.test_mode}")
    for name in ("model_path", "sample_info"):
        given = getattr(args, name) or []
        if len(given) > 1 and args.test_mode != "compare":
            raise RequestError(
                f"--{name} {' '.join(given)}: several belong to --test_mode compare, not {args.test_mode}"
            )
    if args.config is not None and args.data_name is None:
        raise RequestError("--config says where --data_name is looked up: give both, or neither")
    bounds = {
        "sample_num": (1, 1_000_000),
        "batch_size": (1, 65_536),
        "seed": (0, 2**63 - 1),
        "interpolate_steps": (1, 100_000),
        "interpolate_num": (2, 1000),
        "repeats": (1, 100),
        "likelihood_steps": (2, 100_000),
        "image_size": (1, 1024),
        "image_channel": (1, 3),
        "training_timestep_num": (1, 100_000),
    }
    for name, (least, most) in bounds.items():
        value = getattr(args, name)
        if value is not None and not least <= value <= most:
            raise RequestError(f"--{name} {value}: it must be at least {least} and at most {most}")
    for name in ("save_dir", "data_path"):
        if getattr(args, name) == "":
            raise RequestError(f"--{name} is empty: name a folder, or leave the option out")
    check_writable(Path(args.save_dir).absolute(), "--save_dir")


if __name__ == "__main__":
    run_script(lambda: main(ARGS))
