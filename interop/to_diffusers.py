"""`to_diffusers`: a checkpoint as a folder that diffusers' DDPMPipeline, DDIMPipeline and schedulers load.

Written as plain JSON and safetensors; diffusers itself is not needed.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from interop.card import write_card
from interop.checkpoints import open_checkpoint
from interop.diffusers_flow import FLOW_SCHEDULER, flow_config
from interop.diffusers_folder import CLASSES, NULL_CLASS, PATCH_SIZE, WEIGHTS
from interop.diffusers_scheduler import scheduler_config
from interop.diffusers_unet import attention_heads, layout_of, unet_config
from interop.diffusers_weights import CLASS_EMBEDDING, to_theirs
from interop.locate import find_model
from models import build_model
from utils.checkpoints import model_name
from utils.classes import class_called, classes_in_words
from utils.errors import RequestError
from utils.files import atomic_write, check_writable
from utils.settings import DiffusionSettings, Settings
from utils.shapes import sides
from utils.untrusted import State, load_weights

VERSION_OF_THEIRS = "0.32.0"  # whose configurations these are
NO_CLASS = "none"


def run(
    model: str,
    folder: str,
    weights: str = "ema",
    folded: bool = False,
    class_label: str | None = None,
    fixed_variance: bool = False,
) -> list[Path]:
    """Writes the network and the schedule of the checkpoint `model` into `folder`; returns the files, a model card as the last.

    weights: "ema" or "raw". folded: for a network that folds squares of pixels into channels, write that of the folded
    pictures. class_label: write the network of that class alone, by its number or name, or of "none". fixed_variance: leave
    out the channels that name the variance. RequestError if the checkpoint cannot be read, if `folder` is not empty, or if
    diffusers has no way to say what the network is.
    """
    checkpoint, place = open_checkpoint(model, weights), Path(folder).absolute()
    settings = checkpoint.settings
    if settings.student is not None:
        raise RequestError(f"{model} is a student, which diffusers' schedulers do not draw from; write its teacher")
    _check_options(settings, model, folded, class_label, fixed_variance)
    label = None if class_label is None else _label_of(class_label, settings.model.num_classes, checkpoint.classes.names)
    diffusion = settings.diffusion
    if fixed_variance:
        diffusion = diffusion.model_copy(update={"variance": "fixed_small"})
    unet = unet_config(settings.model, settings.data, diffusion, model)
    scheduler = _scheduler(diffusion, model)
    if label is not None:
        unet["num_class_embeds"] = None
    check_writable(place, "DIR")
    if place.exists() and any(place.iterdir()):
        raise RequestError(f"DIR {folder} is not empty; choose another place")
    network = build_model(**settings.model_arguments())
    load_weights(network, checkpoint.state_dict, model)
    theirs = _their_weights(network.state_dict(), settings, label, fixed_variance)
    metadata = {"format": "pt", PATCH_SIZE: str(settings.model.patch_size)}
    if CLASS_EMBEDDING in theirs:
        metadata[NULL_CLASS] = str(settings.model.num_classes)
        if checkpoint.classes.names:
            metadata[CLASSES] = json.dumps(checkpoint.classes._asdict())
    _print_notes(settings, folded, label, fixed_variance)
    written = _write(place, theirs, metadata, unet, scheduler)
    path = find_model(model)
    code = _drawing_code(settings, folded, label)
    return [*written, write_card(place, model_name(path), checkpoint, weights=path, diffusers_code=code)]


def _scheduler(diffusion: DiffusionSettings, source: str) -> dict[str, object]:
    """The scheduler that draws from it, its class included. RequestError, naming the setting of `source`, if none does."""
    if diffusion.objective == "pred_flow":
        return {"_class_name": FLOW_SCHEDULER, **flow_config(diffusion, source)}
    return {"_class_name": "DDPMScheduler", **scheduler_config(diffusion, source)}


def _their_weights(ours: State, settings: Settings, label: int | None, fixed_variance: bool) -> State:
    """The weights under their names, with the options of `run` folded in."""
    layout = layout_of(settings.model, settings.data)
    theirs = to_theirs(ours, layout, attention_heads(settings.model, layout))
    if label is not None:  # what it adds to the time is a constant
        theirs["time_embedding.linear_2.bias"] = theirs["time_embedding.linear_2.bias"] + theirs.pop(CLASS_EMBEDDING)[label]
    channels = settings.data.image_channel * settings.model.patch_size**2
    for name in ("conv_out.weight", "conv_out.bias"):
        estimate, variance = theirs[name].split_with_sizes([channels, len(theirs[name]) - channels])
        if settings.diffusion.objective == "pred_edm":  # of sigma_data 1, where it is -v: see `diffusion.objectives`
            estimate = -estimate
        theirs[name] = estimate if fixed_variance else torch.cat([estimate, variance])
    return theirs


def _check_options(
    settings: Settings, model: str, folded: bool, class_label: str | None, fixed_variance: bool
) -> None:
    """RequestError for an option that means nothing for this network, or for folded pixels without --folded."""
    patch_size = settings.model.patch_size
    height, width = (side // patch_size for side in sides(settings.data.image_size))
    if patch_size > 1 and not folded:
        channels = settings.data.image_channel * patch_size**2
        raise RequestError(
            f"{model}: model.patch_size {patch_size} cannot be expressed in diffusers: UNet2DModel folds no pixels; --folded "
            f"writes the network of the folded pictures, of {channels} channels of {height} x {width}"
        )
    if folded and patch_size == 1:
        raise RequestError(f"--folded: {model} folds no pixels (model.patch_size 1); leave the option out")
    if class_label is not None and settings.model.num_classes == 0:
        raise RequestError(f"--class_label {class_label}: {model} was trained without classes; leave the option out")
    if fixed_variance and settings.diffusion.variance != "learned":
        raise RequestError(f"--fixed_variance: the variance of {model} is not learned; leave the option out")


def _label_of(text: str, num_classes: int, names: tuple[str, ...]) -> int:
    """The class by its name or its number, see `class_called`; the null label for "none"."""
    label = num_classes if text.casefold() == NO_CLASS else class_called(text, num_classes, names)
    if label is None:
        there = classes_in_words(num_classes, names)
        raise RequestError(f"--class_label {text}: there is no such class; the classes are {there}, or {NO_CLASS}")
    return label


def _print_notes(settings: Settings, folded: bool, label: int | None, fixed_variance: bool) -> None:
    """What has to be done otherwise there, as far as diffusers has no way to say it itself."""
    if folded:
        print(f"Note:    unfold what it draws: torch.nn.functional.pixel_shuffle(pictures, {settings.model.patch_size})")
    if settings.model.num_classes and label is None:
        last = settings.model.num_classes
        print(f"Note:    of its {last + 1} classes the last, {last}, means no class; DDPMPipeline passes none: --class_label C")
    diffusion = settings.diffusion
    if diffusion.variance == "learned" and not fixed_variance:
        print("Note:    DDPMScheduler reads the learned variance; for DDIM and others: --fixed_variance")
    if diffusion.objective == "pred_flow" and diffusion.clip_denoised:
        print(f"Note:    {FLOW_SCHEDULER} does not clip x_0, as test_solver.py --clip_denoised false")
    if diffusion.objective == "pred_flow" and not diffusion.zero_terminal_snr:
        print(f"Note:    {FLOW_SCHEDULER} begins at u = 1, as after training with diffusion.zero_terminal_snr=true")


def _drawing_code(settings: Settings, folded: bool, label: int | None) -> list[str]:
    """The Python that draws from it by diffusers, for its card."""
    lines = ["import torch", "from diffusers import DDPMPipeline", 'pipeline = DDPMPipeline.from_pretrained(".")']
    if settings.model.num_classes and label is None:
        last, patch_size = settings.model.num_classes, settings.model.patch_size
        height, width = (side // patch_size for side in sides(settings.data.image_size))
        lines += [
            "scheduler, unet = pipeline.scheduler, pipeline.unet",
            *(["scheduler.set_timesteps(50)"] if settings.diffusion.objective == "pred_flow" else []),
            f"x = torch.randn(16, {settings.data.image_channel * patch_size**2}, {height}, {width})",
            f"labels = torch.arange(16) % {last}  # {last}: no class",
            "for t in scheduler.timesteps:",
            "    with torch.no_grad():",
            "        x = scheduler.step(unet(x, t, class_labels=labels).sample, t, x).prev_sample",
            "pictures = (x / 2 + 0.5).clamp(0, 1)",
        ]
    else:
        lines.append('pictures = pipeline(batch_size=16, output_type="pt").images')
    if folded:
        lines.append(f"pictures = torch.nn.functional.pixel_shuffle(pictures, {settings.model.patch_size})")
    return lines


def _write(
    place: Path, weights: State, metadata: dict[str, str], unet: dict[str, object], scheduler: dict[str, object]
) -> list[Path]:
    """The files of the pipeline; the one by which it is recognised as the last."""
    written = [place / f"unet/{WEIGHTS}.safetensors"]
    with atomic_write(written[0]) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, temporary, metadata)
    parts = {"scheduler": ["diffusers", scheduler["_class_name"]], "unet": ["diffusers", "UNet2DModel"]}
    for name, content in (
        ("unet/config.json", {"_class_name": "UNet2DModel", **unet}),
        ("scheduler/scheduler_config.json", scheduler),
        ("model_index.json", {"_class_name": "DDPMPipeline", **parts}),
    ):
        written.append(place / name)
        class_name = {"_class_name": content["_class_name"]}  # it stands first
        text = json.dumps({**class_name, "_diffusers_version": VERSION_OF_THEIRS, **content}, indent=2)
        with atomic_write(written[-1]) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    return written
