"""The text of a model card: a head in YAML for the Hugging Face Hub, and the same for people."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from datasets import FACTS
from diffusion import SampleInfo
from diffusion.sample_info import TUNED
from interop.figures import lines_of, model_index
from interop.older_checkpoints import NOT_NAMED
from models import parameter_count
from utils.checkpoints import UNKNOWN_DATA, Checkpoint, model_name
from utils.errors import one_line
from utils.settings import Settings
from utils.version import VERSION

MARK = "# Card of"  # how the line begins by which a card is known
SHOWN_CLASSES = 102


def card_text(
    name: str,
    checkpoint: Checkpoint,
    files: Sequence[str],
    diffusers_code: Sequence[str],
    records: Sequence[dict[str, Any]],
    sheet: str | None = None,
) -> str:
    """The card of the model `name`, as README.md has it.

    `files` are those beside it, `diffusers_code` the lines that draw from them by diffusers, if it can, `records` what was
    measured of it, `sheet` the path of a picture of what it draws.
    """
    settings = checkpoint.settings
    height, width = sides(settings)
    colour = "grey" if settings.data.image_channel == 1 else "colour"
    which = "EMA" if checkpoint.weights == "ema" else checkpoint.weights
    # Without building the network, where there are weights: a training is going on meanwhile.
    learned = sum(tensor.numel() for tensor in checkpoint.state_dict.values()) or parameter_count(settings.model_arguments())
    classes = f", of {settings.model.num_classes} classes that can be asked for" if settings.model.num_classes else ""
    steps = f" after {checkpoint.step:,} steps" if checkpoint.step else ""
    return "\n".join(
        [
            _head(name, settings, bool(diffusers_code), records),
            f"# {name}",
            "",
            f"A diffusion model that draws {colour} pictures of {height}x{width} pixels{classes}: a UNet of "
            f"{learned:,} parameters{steps}, {which} weights.",
            "",
            *([f"![What it draws]({sheet})", ""] if sheet else []),
            *_data(checkpoint),
            *_settings(checkpoint, files),
            "## Figures",
            "",
            *(line for record in records for line in lines_of(record)),
            *([] if records else [NO_FIGURES, ""]),
            "## Intended use",
            "",
            INTENDED_USE,
            "",
            *_loading(name, settings, files, diffusers_code),
        ]
    )


NO_FIGURES = """\
None yet. `python test_solver.py --model_path MODEL --test_mode evaluate` measures it, and `python -m interop card MODEL` then
writes the figures, with their protocol, in here."""
INTENDED_USE = """\
To study diffusion models on small pictures: drawing, interpolating, filling in, comparing samplers, training on. It knows
nothing but the pictures that it was trained on, with all that is one-sided about them, and what it draws is evidence of
nothing. A network that was trained on few pictures may repeat some of them: `--test_mode evaluate` looks for copies. Not
meant for pictures that are to pass for real ones, nor for decisions about people."""


def sides(settings: Settings) -> tuple[int, int]:
    """Height and width of the pictures, in pixels."""
    size = settings.data.image_size
    return (size, size) if isinstance(size, int) else tuple(size)


def is_unknown(settings: Settings) -> bool:
    """Whether it is not known what the network was trained on: a file of others does not say."""
    return settings.data_name == UNKNOWN_DATA or (settings.data.data_path or "").startswith(NOT_NAMED)


def _head(name: str, settings: Settings, for_diffusers: bool, records: Sequence[dict[str, Any]]) -> str:
    """The YAML that the Hub reads, between its two rules."""
    facts = FACTS[settings.data.source]
    hub_name = facts.hub_name or "image-folder"
    head: dict[str, Any] = {
        "license": facts.licence_id,
        "library_name": "diffusers" if for_diffusers else "pytorch",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["diffusion", "ddpm", "unet", "image-generation"],
    }
    if facts.hub_name and not is_unknown(settings):
        head["datasets"] = [facts.hub_name]
    if index := model_index(name, records, settings.data_name, hub_name):
        head["model-index"] = index
    mark = f"{MARK} {name}: written anew with the model. Without this line, it is left as it is."
    return f"---\n{mark}\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n"


def code(text: object) -> str:
    """Words from a file, as Markdown that means nothing else."""
    return "`" + one_line(str(text)).replace("`", "'").replace("|", "/") + "`"


def _data(checkpoint: Checkpoint) -> list[str]:
    settings, classes = checkpoint.settings, checkpoint.classes
    if is_unknown(settings):
        lines = ["Not named in the file: whoever trained it knows them, and their licence."]
    else:
        facts = FACTS[settings.data.source]
        lines = [
            f"{code(settings.data_name)}: {facts.origin}. Licence of the data: {facts.licence}.",
            "",
            "The licence in this card's head is that of the data; `unknown` where it is not known here. Whether it also binds "
            "what is drawn is for whoever shares the model to judge.",
        ]
    if classes.names:
        names = [code(name) for name in classes.names[:SHOWN_CLASSES]]
        more = ", ..." if len(classes.names) > SHOWN_CLASSES else ""
        lines += ["", f"Its classes: {', '.join(names)}{more} ({sum(classes.counts):,} pictures)."]
    return ["## Data", "", *lines, ""]


def _settings(checkpoint: Checkpoint, files: Sequence[str]) -> list[str]:
    """A table of those that matter to whoever draws or trains on; a file of this project holds all, a pipeline does not."""
    settings = checkpoint.settings
    model, diffusion, train = settings.model, settings.diffusion, settings.train
    where = f"at sides {model.attention_resolutions}" if model.attention_resolutions else "in the middle"
    rates = f"muon at {train.muon_learning_rate:g}, " if train.optimizer == "muon" else ""
    rows = {
        "network": f"{model.base_channels} channels x {model.channel_mult}, residual blocks a level: {model.num_res_blocks}, "
        f"attention {where}, pixels folded by {model.patch_size}",
        "diffusion": f"{diffusion.timestep_num:,} timesteps, {diffusion.beta_schedule} schedule, {diffusion.objective}, "
        f"variance {diffusion.variance}, x_0 clipped: {str(diffusion.clip_denoised).lower()}",
        "sampler": str(settings.sample.sample_info),
    }
    if not is_unknown(settings):
        rows["training"] = (
            f"{checkpoint.step:,} steps of {train.batch_size} pictures, loss {diffusion.loss_type}, {rates}adam at "
            f"{train.learning_rate:g}, EMA decay {train.ema_decay:g}, seed {settings.run.seed}"
        )
    if settings.student is not None:
        teacher = code(model_name(Path(train.teacher)))  # of its path nothing is told
        guided = f" guided by {train.teacher_guidance}" if train.teacher_guidance else ""
        rows["student"] = f"{train.student}, of the teacher {teacher}{guided}; draws with {settings.student.samplers}"
    if settings.sample.tuned_times and any(file.endswith(".safetensors") for file in files):  # other files hold none
        rows["timesteps tuned for"] = ", ".join(map(code, tuned_samplers(settings)))
    table = [f"| {name} | {value} |" for name, value in rows.items()]
    whole = "All settings are in the file's metadata, and in config.yaml where it stands beside it."
    if not files:
        whole = "Those of the network are in unet/config.json, those of the diffusion in scheduler/scheduler_config.json."
    return ["## Settings", "", "| | |", "|---|---|", *table, "", whole, f"Card written by version {VERSION}.", ""]


def tuned_samplers(settings: Settings) -> list[str]:
    """The strings that draw with timesteps that `python -m sampling.schedule` has learned, as in DPMPP_6_0p0_tuned."""
    return [str(replace(SampleInfo.parse(text), spacing=TUNED)) for text in sorted(settings.sample.tuned_times)]


def _loading(name: str, settings: Settings, files: Sequence[str], diffusers_code: Sequence[str]) -> list[str]:
    """How to load what is beside the card: with this project, and with others."""
    lines = ["## How to load it", ""]
    inputs = ["x_t", "t", "y" if settings.model.num_classes else "", "shown" if settings.diffusion.self_condition else ""]
    inputs = [name for name in inputs if name]
    feeds = ", ".join(f'"{name}": {name}' for name in inputs)
    for file in files:
        if file.endswith(".safetensors"):
            place = "hf:USER/REPO" if file == "model.safetensors" else f"hf:USER/REPO/{file}"
            lines += _block("bash", "Here, from the folder of the project that made it (from the Hub once it is there):",
                            f"python test_solver.py --model_path {file} --sample_info {settings.sample.sample_info}",
                            f"python test_solver.py --model_path {place}")  # fmt: skip
            lines += _block("python", "Elsewhere, the weights and all settings:",
                            "import json", "from safetensors import safe_open",
                            f'with safe_open("{file}", framework="pt") as file:',
                            '    settings = json.loads(file.metadata()["settings"])',
                            "    weights = {name: file.get_tensor(name) for name in file.keys()}")  # fmt: skip
        elif file.endswith(".onnx"):
            lines += _block("python", "With onnxruntime alone; the project's `docs/onnx_ddim.py` draws with it:",
                            "import onnxruntime", f'session = onnxruntime.InferenceSession("{file}")',
                            'about = session.get_modelmeta().custom_metadata_map["diffusion"]  # JSON',
                            f"output, x_0 = session.run(None, {{{feeds}}})")  # fmt: skip
        elif file.endswith(".pt2"):
            lines += _block("python", "With PyTorch alone:",
                            "import torch", 'about = {"diffusion.json": ""}  # filled with what drawing needs',
                            f'network = torch.export.load("{file}", extra_files=about).module()',
                            f"output, x_0 = network({', '.join(f'{name}={name}' for name in inputs)})")  # fmt: skip
    if diffusers_code:
        lines += _block("bash", "Here, from the folder of the project that made it, DIR being the folder of this card:",
                        f"python test_solver.py --model_path DIR --sample_info {settings.sample.sample_info}")  # fmt: skip
        lines += _block("python", "With diffusers:", *diffusers_code)
    return lines


def _block(language: str, sentence: str, *code_lines: str) -> list[str]:
    return [sentence, "", f"```{language}", *code_lines, "```", ""]
