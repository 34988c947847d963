"""Reading files that a stranger may have made: nothing in them is run, believed or loaded before it was checked."""

import json
import os
import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from models import parameter_shapes
from utils.classes import Classes, classes_from
from utils.config import explain
from utils.errors import RequestError, reason_of
from utils.settings import Settings
from utils.version import note_newer

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

# What torch.load raises for bytes that it did not write.
UNREADABLE = (
    *(RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, AssertionError, ImportError, MemoryError, struct.error, zipfile.BadZipFile),
)
WEIGHT_TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
SHOWN_TENSORS = 3


def check_is_file(path: Path) -> None:
    """RequestError, saying what is there, unless `path` is a file: reading a FIFO would wait for ever."""
    if path.is_dir():
        raise RequestError(f"{path.absolute()} is a folder: name the file in it, such as {path / 'model.safetensors'}")
    if not path.is_file():
        what = "is no regular file" if os.path.lexists(path) else "does not exist"
        raise RequestError(f"there is no checkpoint {path.absolute()}: it {what}")


def read_pt(path: Path) -> dict:
    """The mapping in a .pt file, by torch's restricted reader, which makes tensors, numbers and texts and runs nothing.

    RequestError if it is damaged, holds anything else, or claims more tensors than it has bytes.
    """
    check_is_file(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(part.file_size for part in archive.infolist())
            if unpacked > os.path.getsize(path):  # torch never compresses
                raise RequestError(f"{path} is no checkpoint: it would unpack to {unpacked:,} bytes")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is refused or it is not; torch's hints would be further lines
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {reason_of(error)}") from None
    except pickle.UnpicklingError:
        # Not in torch's words: they advise to read the file without restrictions.
        raise RequestError(
            f"{path} is no whole checkpoint, or asks for code to be run, which is never done; take a model.safetensors"
        ) from None
    except UNREADABLE as error:
        reason = str(error).split("\n")[0].split(". In PyTorch")[0]
        raise RequestError(
            f"{path} is no whole checkpoint ({type(error).__name__}: {reason}); take another copy of it"
        ) from None
    if not isinstance(content, dict):
        raise RequestError(f"{path} is no checkpoint: it holds a {type(content).__name__}")
    _check_tensors(content, path)
    return content


def _check_tensors(content: object, path: Path) -> None:
    """RequestError unless all tensors in `content`, however deep, are plain ones, together no larger than twice the file.

    A tensor may repeat one number as often as it likes (stride 0); then it is as large as it says only once it is copied.
    Twice, as two names may share their numbers: a network, and the average that holds it (denoising-diffusion-pytorch).
    """
    rest, seen, total, size = [content], set(), 0, os.path.getsize(path)
    while rest:
        part = rest.pop()
        if id(part) in seen:  # a list may hold itself
            continue
        seen.add(id(part))
        if isinstance(part, Tensor):
            if part.layout != torch.strided or part.device.type != "cpu" or part.is_quantized:
                raise RequestError(f"{path} is no checkpoint: it holds a tensor that is none of numbers")
            own = part.numel() * part.element_size()
            total += own if own <= part.untyped_storage().nbytes() else 2 * size + 1
        elif isinstance(part, dict):
            rest.extend(part.values())
        elif isinstance(part, list | tuple | set):
            rest.extend(part)
    if total > 2 * size:
        raise RequestError(f"{path} is no checkpoint: its tensors claim to be larger than the file")


def check_state_dict(weights: object, path: Path) -> None:
    """RequestError unless `weights` maps names to tensors."""
    if isinstance(weights, dict) and all(isinstance(name, str) for name in weights):
        odd = [name for name, tensor in weights.items() if not isinstance(tensor, Tensor)]
        if not odd:
            return
        raise RequestError(f"{path} is no checkpoint: {odd[0]} is no tensor")
    raise RequestError(f"{path} is no checkpoint: its weights are no mapping of names to tensors")


def read_safetensors(path: Path) -> tuple[State, Settings | None, int, Classes]:
    """The tensors of a safetensors file, and of its metadata the settings, the number of steps and the classes, if there.

    RequestError if it is damaged, or its tensors are not those of the network that its settings describe; that is found
    by the file's header alone, before anything large is read.
    """
    check_is_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            settings, step, classes = None, metadata.get("step", "0"), Classes()
            note_newer(metadata.get("version"), path)
            if "settings" in metadata:
                settings = settings_from_json(metadata["settings"], path)
                check_shapes(settings, {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}, path)  # noqa: SIM118
                classes = classes_from(parsed_json(metadata.get("classes")), settings.model.num_classes, path)
            if not (step.isascii() and step.isdigit() and len(step) < 20):
                raise RequestError(f"{path} is no checkpoint of this project: its step is {step[:80]!r}")
            return {name: file.get_tensor(name) for name in file.keys()}, settings, int(step), classes  # noqa: SIM118
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {reason_of(error)}") from None
    except (SafetensorError, *UNREADABLE) as error:
        raise RequestError(f"{path} is no whole safetensors file ({error}); take another copy of it") from None


def parsed_json(text: str | None) -> object:
    """What `text` says, or None; what cannot be read is no mapping either."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return text


def settings_from_json(text: object, path: Path) -> Settings:
    """The settings that travel in the file `path`. RequestError if they are damaged or of another project."""
    try:
        return Settings.model_validate_json(text)
    except (ValidationError, TypeError) as error:
        why = explain(error, {}, str(path)) if isinstance(error, ValidationError) else "they are no text"
        raise RequestError(f"the settings inside {path} cannot be used: {why}") from None


def shapes_of(weights: State) -> Shapes:
    """Each tensor's shape by its name."""
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def check_shapes(settings: Settings, found: Shapes, source: str | Path) -> None:
    """RequestError unless `found` are the tensors of the network that `settings` describe; takes no memory for it."""
    compare_shapes(parameter_shapes(settings.model_arguments()), found, source)


def load_weights(model: nn.Module, weights: State, source: str | Path) -> None:
    """Loads all of `weights` or nothing. RequestError names the first tensors that differ, or hold no finite numbers."""
    compare_shapes(shapes_of(model.state_dict()), shapes_of(weights), source)
    for name, tensor in weights.items():
        if tensor.dtype not in WEIGHT_TYPES:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise RequestError(
                f"{source}: the tensor {name} is {kind}; weights are float32, float16, bfloat16 or float64"
            )
        if not tensor.to(torch.float32).isfinite().all():
            raise RequestError(
                f"{source}: the tensor {name} holds values that are not finite; take an earlier checkpoint"
            )
    model.load_state_dict(weights)


def load_part(part: object, state: object, source: str | Path) -> None:
    """`part.load_state_dict(state)`. RequestError if `state` is not what that wants."""
    try:
        part.load_state_dict(state)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        what = f"{type(part).__name__} ({type(error).__name__}: {error})"
        raise RequestError(f"{source} does not fit this training's {what}; choose another --save_dir") from None


def load_optimizer(optimizer: torch.optim.Optimizer, state: object, source: str | Path) -> None:
    """As `load_part`; the optimizer itself would take numbers of other shapes, and fail at its next step.

    It would also keep the layout that they have in the file, and fused Adam takes them as lying in memory like their
    parameter: they are copied into its layout.
    """
    load_part(optimizer, state, source)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if not isinstance(value, Tensor) or value.ndim == 0:
                continue
            if value.shape != parameter.shape:
                shapes = f"{tuple(value.shape)} for {tuple(parameter.shape)}"
                raise RequestError(
                    f"{source} does not fit this training's optimizer ({name} {shapes}); choose another --save_dir"
                )
            values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def compare_shapes(expected: Shapes, found: Shapes, source: str | Path) -> None:
    """RequestError, naming the first tensors that differ, unless `found` is `expected`."""
    if expected == found:
        return
    names = [name for name in expected | found if expected.get(name) != found.get(name)]
    shown = ", ".join(
        f"{name} {found.get(name, 'missing')} for {expected.get(name, 'none')}" for name in names[:SHOWN_TENSORS]
    )
    raise RequestError(
        f"{source} does not fit the network that its settings describe: {len(names)} tensors differ: {shown}"
    )
