"""From and to the formats of others: python -m interop COMMAND ...

`COMMANDS` is the table of what there is. A command NAME is the module interop.NAME, whose `run` is given its arguments by
their names and returns the files that it wrote. Nothing here loads torch.
"""

import importlib
import sys
from typing import NamedTuple

from utils.script import Arguments, run_script
from utils.shapes import size_argument
from utils.threads import wait_passively


class Command(NamedTuple):
    """help: one line. arguments: what argparse's `add_argument` is given for each, by its name (`model`, `--folded`)."""

    help: str
    arguments: dict[str, dict[str, object]]


ANY_MODEL = {"metavar": "MODEL", "help": "a model.safetensors, its folder, or hf:USER/REPO"}

COMMANDS = {
    "to_diffusers": Command(
        "a checkpoint as a folder that diffusers loads and draws from",
        {
            "model": {"metavar": "MODEL", "help": "a model.safetensors, or a run's trainer_state.pt"},
            "folder": {"metavar": "DIR", "help": "where to write; an empty folder, or none yet"},
            "--weights": {"choices": ["ema", "raw"], "default": "ema", "help": "of a trainer_state.pt: which (ema)"},
            "--folded": {"action": "store_true", "help": "of a patch_size above 1: the network of the folded pictures"},
            "--class_label": {"metavar": "C", "help": "the network of this class alone, or of none: it takes no label"},
            "--fixed_variance": {"action": "store_true", "help": "leave out the learned variance"},
        },
    ),
    "from_diffusers": Command(
        "a UNet2DModel pipeline of diffusers as a model.safetensors",
        {
            "source": {"metavar": "DIR|FILE", "help": "a pipeline's folder, or the weights beside their config.json"},
            "output": {"metavar": "OUT", "help": "the model.safetensors to write"},
            "--null_class": {"type": int, "metavar": "N", "help": "which of its classes means no class (none does)"},
            "--patch_size": {"type": int, "metavar": "N", "help": "what it draws are pictures folded by this (1)"},
        },
    ),
    "from_family": Command(
        "a checkpoint of a related project as a model.safetensors of this one",
        {
            "file": {"metavar": "FILE", "help": "a .pt or .safetensors of the older scripts, or of improved-diffusion"},
            "out": {"metavar": "OUT.safetensors", "help": "what to write, and README.md beside it"},
            "--image_size": {"type": size_argument, "required": True, "metavar": "N|HxW", "help": "of its pictures, in pixels"},
            "--image_channel": {"type": int, "default": 3, "choices": [1, 3], "help": "grey or colour (3)"},
            "--training_timestep_num": {"type": int, "default": 1000, "metavar": "N", "help": "its steps of noise (1000)"},
            "--set": {
                "action": "append", "default": [], "dest": "overrides", "metavar": "KEY=VALUE",
                "help": "what its weights do not tell, as in model.num_heads=1 or diffusion.beta_schedule=linear",
            },
        },
    ),
    "to_onnx": Command(
        "a network as an ONNX file, checked with onnxruntime",
        {
            "model": ANY_MODEL,
            "out": {"metavar": "OUT.onnx", "help": "what to write, and README.md beside it"},
        },
    ),
    "to_pt2": Command(
        "a network as a program of torch.export",
        {
            "model": ANY_MODEL,
            "out": {"metavar": "OUT.pt2", "help": "what to write, and README.md beside it"},
        },
    ),
    "card": Command(
        "README.md beside a model: a model card for the Hugging Face Hub, with the figures that were measured",
        {
            "model": {"metavar": "MODEL", "help": "a model.safetensors, or its folder"},
            "--records": {
                "nargs": "+", "default": ["results"], "metavar": "DIR",
                "help": "where the files of evaluate and likelihood are (results)",
            },
        },
    ),
}

HELP = "commands:\n{lines}\n\nA command's own arguments: python -m interop COMMAND --help"


def main(words: list[str]) -> int:
    """Does what the `words` of the command line ask for; returns the exit status."""
    if not words or words[0] not in COMMANDS:
        return _overview(words)
    name, command = words[0], COMMANDS[words[0]]
    parser = Arguments(f"Writes {command.help}.", prog=f"-m interop {name}")
    for argument, options in command.arguments.items():
        parser.add_argument(argument, **options)
    arguments = vars(parser.parse_args(words[1:]))
    for path in importlib.import_module(f"interop.{name}").run(**arguments):
        print(f"Wrote:   {path}")
    return 0


def _overview(words: list[str]) -> int:
    """Answers --help and --version; exits with status 2, and one line, for a command that is not known."""
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items())
    parser = Arguments("From and to the formats of others.", prog="-m interop", epilog=HELP.format(lines=lines))
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    parser.parse_args(words)
    return 0


if __name__ == "__main__":
    wait_passively()
    run_script(lambda: main(sys.argv[1:]))
