"""The options of test_solver.py: what each is called, which values it takes, and to which modes it belongs."""

from collections.abc import Callable
from typing import NamedTuple

from modes import MODES
from utils.shapes import size_argument


class Option(NamedTuple):
    """help: one line. choices: the values it takes. least, most: where they are given, it is a whole number within them.
    above, most: it is a number above the one and at most the other.

    is_size: whether it is a size of pictures, N or HxW. flag: whether it takes no value. several: whether it may take more
    than one. required: whether it must be given. default: its value where it is not given; None: the mode or the
    checkpoint has one.
    """

    help: str
    metavar: str | None = None
    choices: tuple[str, ...] | None = None
    least: int | None = None
    most: int | None = None
    above: float | None = None
    is_size: bool = False
    flag: bool = False
    several: bool = False
    required: bool = False
    default: str | int | tuple[str, ...] | None = None

    def for_argparse(self) -> dict[str, object]:
        """The keywords of `add_argument`; what is not given becomes None, so that it can be told from what is."""
        if self.flag:
            return {"action": "store_const", "const": True, "help": self.help}
        return {
            "help": self.help,
            "metavar": self.metavar,
            "choices": self.choices,
            "nargs": "+" if self.several else None,
            "type": self._type(),
            "required": self.required,
        }

    def _type(self) -> Callable[[str], object]:
        """From a text to the value."""
        if self.is_size:
            return size_argument
        return int if self.least is not None else float if self.above is not None else str

    def out_of_bounds(self, value: object) -> str | None:
        """What `value` must be, where it is not; NaN is within no bounds."""
        numbers = value if isinstance(value, list) else [value]
        if self.least is not None and not all(self.least <= number <= self.most for number in numbers):
            return f"at least {self.least} and at most {self.most}"
        if self.above is not None and not self.above < value <= self.most:
            return f"above {self.above:g} and at most {self.most}"
        return None


SAMPLERS = "DDPM, DDIM, DPMPP, HEUN, UNIPC, EDM, CM"
SPACINGS = "uniform, quad, logsnr, karras"

OPTIONS = {
    # the model
    "model_path": Option(
        "a model.safetensors, its folder, hf:USER/REPO[/FILE], or a trainer_state.pt; compare: one or several",
        "FILE",
        several=True,
        required=True,
    ),
    "weights": Option("averaged weights, or the last step's (ema)", choices=("ema", "raw"), default="ema"),
    "image_size": Option(
        "checked; needed only for a checkpoint that carries no settings; rectangles as HEIGHTxWIDTH: 48x64",
        "N", least=1, most=1024, is_size=True,
    ),
    "image_channel": Option("as --image_size", "N", least=1, most=3),
    "training_timestep_num": Option("as --image_size", "N", least=1, most=100_000),
    # what every mode does with it
    "test_mode": Option(
        "one of the modes below, or several (random_gen)", choices=tuple(MODES), several=True, default=("random_gen",)
    ),
    "seed": Option("picture i is that of seed N + i (0)", "N", least=0, most=2**63 - 1, default=0),
    "save_dir": Option("where the pictures go (results)", "DIR", default="results"),
    "device": Option("(auto)", choices=("auto", "cpu", "cuda", "mps"), default="auto"),
    "precision": Option(
        "of the network's arithmetic (auto)", choices=("auto", "fp32", "tf32", "bf16", "fp16"), default="auto"
    ),
    # what some modes do
    "sample_info": Option(
        "the sampler (the checkpoint's sample.sample_info); compare: one or several", "METHOD_STEPS_ETA", several=True
    ),
    "clip_denoised": Option(
        "clip the predicted x_0 while drawing (the checkpoint's diffusion.clip_denoised)",
        choices=("true", "false", "dynamic"),
    ),
    "class_label": Option(
        "3, or 0,1,2 in turn, or a class's name, or all in turn (by seed, as often as in the data)", "CLASS"
    ),
    "sample_num": Option(
        "pictures to draw, pairs to interpolate, or real pictures to measure (by mode)", "N", least=1, most=1_000_000
    ),
    "batch_size": Option("pictures drawn at a time (the checkpoint's sample.batch_size)", "N", least=1, most=65_536),
    "save_images": Option("also write each picture, named by its seed", flag=True),
    "compile": Option(
        "torch.compile the network (auto: a large one on a GPU, to draw so much that it repays the wait; no: nor CUDA graphs)",
        choices=("auto", "yes", "no"),
    ),
    "data_name": Option("take the real pictures from another entry of --config", "NAME"),
    "data_path": Option("take the real pictures from this folder or file (or find the data set there)", "PATH"),
    "config": Option("where --data_name is looked up (config.yaml)", "FILE"),
    "interpolate_mode": Option(
        "what is mixed: noised pictures, with lerp's straight or slerp's noise; or latents (slerp)",
        choices=("lerp", "slerp", "ddim"),
    ),
    "interpolate_steps": Option(
        "steps of noise (half of the training's: 500 of 1000; ddim: all)", "N", least=1, most=100_000
    ),
    "interpolate_num": Option("coefficients from 0 to 1 (11)", "N", least=2, most=1000),
    "picture": Option("take the picture in this file instead of the data's, cropped and resized as those are", "FILE"),
    "mask": Option(
        "box (the centre), half (the right one), random (three quarters of the pixels), or a picture of the network's size: "
        "white is filled in, black or transparent is kept (box)",
        "FILE|box|half|random",
    ),
    "strength": Option("share of the noise that is added and taken away again (0.6)", "S", above=0.0, most=1),
    "split": Option(
        "the real pictures: evaluate's reference, those that reconstruct encodes (train), that likelihood measures (test)",
        choices=("train", "test"),
    ),
    "repeats": Option("so many lots, of different seeds (1)", "N", least=1, most=100),
    "extractor": Option("digits, clothes, inception or efficientnet_lite0 (the one that suits the data)", "NAME"),
    "inception_weights": Option("where Inception's weights are", "FILE"),
    "likelihood_steps": Option("timesteps for each picture (100; or all of them)", "N", least=2, most=100_000),
}


def modes_of(option: str) -> tuple[str, ...]:
    """The modes that an option belongs to: those that name it, those with a sampler, or all of them."""
    if option in ("sample_info", "clip_denoised"):
        return tuple(name for name, mode in MODES.items() if mode.sampler)
    if option == "class_label":
        return tuple(name for name, mode in MODES.items() if mode.by_class)
    return tuple(name for name, mode in MODES.items() if option in mode.options) or tuple(MODES)
