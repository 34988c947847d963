"""A key of config.yaml that no block has, told in one line with what was meant; and how a wrong value is shown."""

import difflib
import reprlib

from pydantic import BaseModel

from utils.errors import RequestError
from utils.settings import Blocks, ConfigFile


def check_keys(layer: object, model: type[BaseModel], place: str) -> None:
    """RequestError for the first key of `layer`, or of a block in it, that `model` does not have."""
    if not isinstance(layer, dict):
        raise RequestError(f"{place} must be a mapping of {', '.join(model.model_fields)}, not {short(layer)}")
    for key, value in layer.items():
        field = model.model_fields.get(key)
        if field is None:
            hint = _indentation(key, value) if model is ConfigFile else ""
            hint = hint or nearest(key, _places(model))
            raise RequestError(f"{place}: the key {short(key)} is not known{hint}")
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel) and model is not ConfigFile:
            check_keys(
                {} if value is None else value, field.annotation, place if place.startswith("--") else f"{place}.{key}"
            )


def _places(model: type[BaseModel]) -> dict[str, str]:
    """What may have been meant by a key of `model`: its own keys, and those of every block as `block.key`."""
    blocks = {name: field.annotation for name, field in Blocks.model_fields.items()}
    elsewhere: dict[str, str] = {}
    for name, block in blocks.items():
        for key in block.model_fields:
            elsewhere.setdefault(key, f"{name}.{key}")  # batch_size: rather train's than sample's
    return elsewhere | {key: key for key in model.model_fields}


def is_block(value: object, name: str) -> bool:
    """Whether `value` holds keys of the block `name`, and no block: it was meant to be that block."""
    if not isinstance(value, dict) or any(key in Blocks.model_fields for key in value):
        return False
    return any(key in Blocks.model_fields[name].annotation.model_fields for key in value)


def _indentation(key: object, value: object) -> str:
    """What is wrong with a top-level key that is a block or an entry: its indentation."""
    if key in Blocks.model_fields:
        return f"; {key} is a block: indent it below Train_Setting, or below an entry of Train_Data"
    if isinstance(value, dict) and any(name in Blocks.model_fields for name in value):
        return "; if it is a data set, indent it below Train_Data"
    return ""


def nearest(word: object, known: dict[str, object]) -> str:
    """`; did you mean X?`, or nothing if no known word is near."""
    lowered = {key.lower(): key for key in known}
    matches = difflib.get_close_matches(str(word).lower(), lowered, n=1, cutoff=0.6)
    if not matches:
        return ""
    key = lowered[matches[0]]
    return f"; did you mean {known[key] if isinstance(known[key], str) else key}?"


def short(value: object) -> str:
    """A value as it would be written in Python, cut where it is long: a few lines of YAML can name billions of items."""
    brief = reprlib.Repr()
    brief.maxlevel, brief.maxstring, brief.maxother, brief.maxlong = 3, 80, 80, 40
    return brief.repr(value)
