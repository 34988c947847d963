"""Draws from a trained model, goes between real pictures, measures, compares.

The network, the diffusion and the data are those that the checkpoint names. What can be done stands in the table of modes/.
"""

import argparse
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from modes import MODES, Mode
from modes.options import OPTIONS, SAMPLERS, SPACINGS, modes_of
from utils.script import Arguments
from utils.threads import wait_passively

HELP = """\
modes:
{modes}

samplers:
  METHOD_STEPS_ETA[_SPACING][_cfgSCALE][_rN], with p for the decimal point: DDPM_1000_0p0, DDIM_50_0p0, DPMPP_20_0p0_cfg1p3
  cfg: classifier-free guidance, of a network with classes; _cfg1p3t200t999: at timesteps 200 to 999 only
  rN: inpaint takes each step N times (RePaint's jumps back), as in DDIM_50_1p0_r5
  methods: {samplers}; spacings: {spacings}
  tuned, as a spacing: the timesteps that python -m sampling.schedule MODEL METHOD_STEPS has learned for the checkpoint

examples:
  python test_solver.py --model_path checkpoints/mnist_mini.safetensors --sample_info DDIM_50_0p0 --sample_num 64
  python test_solver.py --model_path train_results/NAME/model.safetensors --test_mode random_gen interpolate
  python test_solver.py --model_path A.safetensors B.safetensors --test_mode compare --sample_info DDIM_50_0p0 DPMPP_20_0p0"""


def parse_args() -> argparse.Namespace:
    """The command line: what was given, and None where nothing was."""
    parser = Arguments(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    lines = "\n".join(f"  {name:<12} {mode.help}" for name, mode in MODES.items())
    parser.epilog = HELP.format(modes=lines, samplers=SAMPLERS, spacings=SPACINGS)
    groups = {}
    for name, option in OPTIONS.items():
        owners = modes_of(name)
        if owners not in groups:
            groups[owners] = parser.add_argument_group("every mode" if len(owners) == len(MODES) else ", ".join(owners))
        groups[owners].add_argument(f"--{name}", **option.for_argparse())
    return parser.parse_args()


if __name__ == "__main__":
    wait_passively()
    ARGS = parse_args()  # before torch is loaded, so that --help answers at once

from diffusion import SampleInfo
from modes.model import load_model
from sampling import parse_sampler
from utils.distributed import Ranks, silence_other_ranks
from utils.errors import RequestError
from utils.files import check_writable
from utils.script import run_script
from utils.version import VERSION


def main(args: argparse.Namespace) -> int:
    silence_other_ranks()
    check_request(args)
    for name, option in OPTIONS.items():
        if getattr(args, name) is None:
            setattr(args, name, option.default)
    check_writable(Path(args.save_dir).absolute(), "--save_dir")
    ranks = Ranks(args.device)
    modes = {name: MODES[name] for name in args.test_mode}
    for name, mode in modes.items():
        if ranks.size > 1 and not mode.shared:
            raise RequestError(f"--test_mode {name} runs in one process: python test_solver.py, without torchrun")

    models = [
        load_model(
            path,
            args.weights,
            device=ranks.device,
            precision=args.precision,
            clip_denoised={"true": True, "false": False}.get(args.clip_denoised, args.clip_denoised),
            class_label=args.class_label,
            image_size=args.image_size,
            image_channel=args.image_channel,
            timestep_num=args.training_timestep_num,
        )
        for path in args.model_path
    ]
    fewest = min(model.trained.diffusion.timestep_num for model in models)
    classes = min(model.trained.num_classes for model in models)
    texts = args.sample_info or [models[0].settings.sample.sample_info]
    students = [model.trained.student for model in models]
    tunable = [model.trained for model in models if model.trained.student is None]
    tuned = set.intersection(*(set(trained.diffusion.tuned_times) for trained in tunable)) if tunable else set()
    samplers = [parse_sampler(text, fewest, classes, tuned, students) for text in texts]
    check_resampling(modes, samplers)
    print(f"Version: {VERSION}")
    for trained, _ in models:
        print(f"Model:   {trained.path}: {trained.data_name}, step {trained.step:,}, {trained.weights} weights")

    for name, mode in modes.items():
        if mode.sampler:
            print(f"Sampler: {', '.join(map(str, samplers))}, on {ranks.device} in {models[0].trained.precision}")
        chosen = [models, samplers] if mode.several else [models[0], samplers[0]]
        options = {option: getattr(args, option) for option in mode.options}
        shared = {"ranks": ranks} if mode.shared else {}
        run = importlib.import_module(f"modes.{name}").run  # each loads only what it needs
        for path in run(*chosen[: 1 + mode.sampler], **options, **shared):
            print(f"Wrote:   {path}")
    ranks.close()
    return 0


def check_request(args: argparse.Namespace) -> None:
    """RequestError for an option that no mode of the request takes, a number out of its bounds, or an empty path."""
    modes = args.test_mode or OPTIONS["test_mode"].default
    for name, option in OPTIONS.items():
        value, owners = getattr(args, name), modes_of(name)
        if value is None:
            continue
        if not set(owners) & set(modes):
            raise RequestError(f"--{name} belongs to --test_mode {' or '.join(owners)}, not {' '.join(modes)}")
        if (bounds := option.out_of_bounds(value)) is not None:
            raise RequestError(f"--{name} {value}: it must be {bounds}")
        if value == "":
            raise RequestError(f"--{name} is empty: give its {option.metavar}, or leave the option out")
    for mode in modes:
        for name in ("model_path", "sample_info"):
            given = getattr(args, name) or []
            if len(given) > 1 and not MODES[mode].several:
                raise RequestError(f"--{name} {' '.join(given)}: several belong to --test_mode compare, not {mode}")


def check_resampling(modes: Mapping[str, Mode], samplers: Sequence[SampleInfo]) -> None:
    """RequestError for a sampler that takes its steps several times, where a mode of the request takes each once."""
    for name, mode in modes.items():
        for info in samplers if mode.sampler and not mode.resamples else ():
            if info.resamplings != 1:
                owners = " or ".join(name for name, mode in MODES.items() if mode.resamples)
                raise RequestError(f"--sample_info {info}: _r{info.resamplings} belongs to --test_mode {owners}, not {name}")


if __name__ == "__main__":
    run_script(lambda: main(ARGS))
