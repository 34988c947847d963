"""The files of a diffusers pipeline, as `save_pretrained` writes them and as its first versions did, read without diffusers.

Nothing in them is run. JSON is read up to a size; tensors are compared with what the configuration asks for before they are
loaded, and pickles (`.bin`) go through torch's restricted reader alone.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from interop.diffusers_weights import renamed
from utils.checkpoints import PIPELINE_FILE
from utils.errors import RequestError, reason_of
from utils.untrusted import (
    UNREADABLE,
    Shapes,
    State,
    check_is_file,
    check_state_dict,
    compare_shapes,
    parsed_json,
    read_pt,
    shapes_of,
)

LARGEST_JSON = 2**22  # bytes: 100,000 betas fit
WEIGHTS = PIPELINE_FILE
WEIGHT_SUFFIXES = (".safetensors", ".bin")
PARTS = {"unet": "UNet2DModel"}  # of a pipeline, beside its scheduler
# What `to_diffusers` adds to the metadata of the weights: which class means no class, the others' names, and the folding.
NULL_CLASS, CLASSES, PATCH_SIZE = "null_class", "classes", "patch_size"


class PipelineFiles(NamedTuple):
    """Where the parts of a pipeline lie."""

    unet: Path
    scheduler: Path
    weights: Path


def find_files(source: str) -> PipelineFiles:
    """The files of the pipeline in the folder `source`, of the UNet2DModel in it, or of the weights in the file `source`.

    RequestError, saying what is missing, or if it is a pipeline of more than a UNet2DModel and a scheduler.
    """
    given = Path(source)
    if not given.exists():
        raise RequestError(f"{source}: there is no such folder or file")
    folder = given if given.is_dir() else given.parent
    if given.is_dir() and (folder / "model_index.json").is_file():
        _check_pipeline(folder / "model_index.json")
    unet = folder / "unet" if given.is_dir() and (folder / "unet").is_dir() else folder
    places = [folder, folder / "scheduler", folder.parent, folder.parent / "scheduler"]
    schedulers = [place / "scheduler_config.json" for place in places]
    scheduler = next((path for path in schedulers if path.is_file()), None)
    if scheduler is None:
        raise RequestError(f"{source}: there is no scheduler/scheduler_config.json, which says how its noise grows")
    return PipelineFiles(unet / "config.json", scheduler, _find_weights(unet) if given.is_dir() else given)


def _find_weights(folder: Path) -> Path:
    """The weights in the folder of a UNet2DModel: safetensors before a pickle, whole precision before a variant."""
    candidates = [folder / f"{WEIGHTS}{suffix}" for suffix in WEIGHT_SUFFIXES]
    candidates += [path for suffix in WEIGHT_SUFFIXES for path in sorted(folder.glob(f"{WEIGHTS}.*{suffix}"))]
    if not (found := [path for path in candidates if path.is_file()]):
        raise RequestError(f"{folder}: there is no {WEIGHTS}.safetensors or .bin; name the file of the weights instead")
    if "-of-" in found[0].name:
        raise RequestError(f"{folder}: the weights lie in several files; save them in one: max_shard_size='100GB'")
    return found[0]


def _check_pipeline(path: Path) -> None:
    """RequestError unless the model_index.json `path` is of a UNet2DModel and a scheduler alone."""
    for name, part in read_json(path).items():
        if name.startswith("_") or name == "scheduler" or part is None or part == [None, None]:
            continue
        class_name = part[1] if isinstance(part, list) and len(part) == 2 else part
        if PARTS.get(name) != class_name:
            raise RequestError(f"{path}: {name} ({class_name}) cannot be expressed here; a UNet2DModel and a scheduler can")


def read_json(path: Path) -> dict:
    """The mapping in a JSON file. RequestError if it is none, or larger than any such file."""
    if not path.is_file():
        raise RequestError(f"{path}: there is no such file")
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise RequestError(f"{path} is larger than {LARGEST_JSON:,} bytes: it is something else")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {reason_of(error)}") from None
    except (ValueError, RecursionError):
        raise RequestError(f"{path} is no valid JSON; take another copy of it") from None
    if not isinstance(content, dict):
        raise RequestError(f"{path} is no configuration: it holds a {type(content).__name__}")
    return content


def read_weights(path: Path, expected: Shapes) -> State:
    """The tensors of a UNet2DModel, under today's names.

    RequestError if the file is damaged, or if they are not `expected`; of safetensors that is seen before they are loaded.
    """
    if path.suffix != ".safetensors":
        weights = read_pt(path)
        check_state_dict(weights, path)
        weights = renamed(weights)
        compare_shapes(expected, shapes_of(weights), path)
        return weights
    with _opened(path) as file:
        names = list(file.keys())
        compare_shapes(expected, renamed({name: tuple(file.get_slice(name).get_shape()) for name in names}), path)
        return renamed({name: file.get_tensor(name) for name in names})


class Told(NamedTuple):
    """What `to_diffusers` says of a network beside its configuration; None where it says nothing, or another wrote the file."""

    null_class: int | None = None
    classes: object = None
    patch_size: int | None = None


def read_metadata(path: Path) -> Told:
    """What stands in the metadata of the weights; the classes are unchecked."""
    if path.suffix != ".safetensors":
        return Told()
    with _opened(path) as file:
        metadata = file.metadata() or {}
    numbers = [metadata.get(name, "") for name in (NULL_CLASS, PATCH_SIZE)]
    null_class, patch_size = (int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None for text in numbers)
    return Told(null_class, parsed_json(metadata.get(CLASSES)), patch_size)


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    """A safetensors file. RequestError if it is damaged, also where that is seen later."""
    check_is_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {reason_of(error)}") from None
    except (SafetensorError, *UNREADABLE) as error:
        raise RequestError(f"{path} is no whole safetensors file ({error}); take another copy of it") from None
