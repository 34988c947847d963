"""From config.yaml, one entry of it and the command line to `Settings`; and a mistake to one line that says where it is."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from diffusion import SampleInfo
from diffusion.distillation import KINDS, Student, why_not
from utils.config_keys import check_keys, is_block, nearest, short
from utils.errors import RequestError, reason_of
from utils.setting_checks import check_data
from utils.settings import Blocks, ConfigFile, DataSettings, RunSettings, Settings
from utils.strict_yaml import UNREADABLE, parse_yaml, why_unreadable

ROOT = Path(__file__).resolve().parent.parent  # where the scripts and their config.yaml are
LARGEST_FILE = 2**18  # bytes: of another file, YAML's reader would make minutes of work
SHOWN_MISTAKES = 5
Layer = tuple[str, dict]  # where it was written, and what


def load_settings(
    config: str,
    data_name: str,
    overrides: Sequence[str] = (),
    flags: dict[str, object] | None = None,
    *,
    is_cpu: Callable[[object], bool] = lambda device: False,
    settings_of: Callable[[str], Settings] | None = None,
) -> Settings:
    """The settings of data set `data_name`: Train_Setting < its entry of Train_Data < `overrides` < `flags`.

    `is_cpu`: for a training, whether what run.device names is a CPU; then CPU_Setting lies between the first two, where the
    file has one. `settings_of`: for a training, gives those of the checkpoints train.teacher and run.start_from; what their
    network needs lies above the entry. So does Student_Setting, where there is a train.student; but it lies below an entry that
    names that itself.
    A `config` of the name config.yaml is also looked for beside the scripts, if it is not in the current folder.
    `overrides` are KEY=VALUE texts as in `train.learning_rate=2e-4` (VALUE is YAML); `flags` maps such keys to values, and
    None means not given. RequestError, in one line, for anything that is not known, misplaced or of another type.
    """
    (first, on_cpu, of_student), entry = _layers_of_file(config, data_name)
    asked = _asked(overrides, flags)
    if _names_student(of_student[1]):
        raise RequestError(f"{of_student[0]}.train.student: it is for trainings that name one themselves; move it to an entry")
    merged, _ = _merged([first, entry, *asked])
    below = [first, on_cpu] if is_cpu(merged.get("run", {}).get("device", RunSettings().device)) else [first]
    layers = [*below, entry]
    if _names_student(_merged([*layers, *asked])[0]):
        layers = [*below, of_student, entry] if _names_student(entry[1]) else [*below, entry, of_student]
    if settings_of is not None:
        merged, _ = _merged([*layers, *asked])
        layers += [(path, _network_layer(settings_of(path), merged)) for path in _checkpoints_of(merged)]
    merged, places = _merged([*layers, *asked])
    merged["data_name"] = data_name
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise RequestError(explain(error, places, config)) from None


def load_data_settings(
    config: str, data_name: str, overrides: Sequence[str] = (), flags: dict[str, object] | None = None
) -> DataSettings:
    """The data block of `load_settings`, whether or not a network of the other blocks fits it. RequestError as there."""
    defaults, entry = _layers_of_file(config, data_name)
    merged, places = _merged([defaults[0], entry, *_asked(overrides, flags)])
    try:
        data = Blocks.model_validate({"data": merged.get("data", {})}).data
        check_data(data.source, data.data_path, data.image_size, data.crop, data.resize)
    except ValidationError as error:
        raise RequestError(explain(error, places, config)) from None
    except ValueError as error:
        raise RequestError(str(error)) from None
    return data


def _layers_of_file(config: str, data_name: str) -> tuple[list[Layer], Layer]:
    """Train_Setting, CPU_Setting and Student_Setting of the file `config`, and its entry `data_name`."""
    if config == "config.yaml" and not os.path.exists(config):
        config = str(ROOT / config)
    document = {key: {} if value is None else value for key, value in read_yaml(config).items()}
    check_keys(document, ConfigFile, config)
    defaults = [(f"{config}: {name}", document.get(name, {})) for name in ConfigFile.model_fields if name != "Train_Data"]
    for place, layer in defaults:
        check_keys(layer, Blocks, place)
    entries = document.get("Train_Data", {})
    if not isinstance(entries, dict):
        raise RequestError(f"{config}: Train_Data must be a mapping of data sets' names, not {short(entries)}")
    for name, entry in entries.items():
        if name in Blocks.model_fields and isinstance(entry, dict) and is_block(entry, name):
            raise RequestError(
                f"{config}: Train_Data.{name} is a block, not a data set: indent it one level more, below its entry's name"
            )
    if data_name not in entries:
        known = {name: name for name in entries}
        there = f"it has {', '.join(known) or 'none'}"
        raise RequestError(f"data set {data_name!r} is not in {config}{nearest(data_name, known)}; {there}")
    return defaults, (f"{config}: Train_Data.{data_name}", {} if entries[data_name] is None else entries[data_name])


def _asked(overrides: Sequence[str], flags: dict[str, object] | None) -> list[Layer]:
    """What the command line asks for."""
    return [
        *(_layer_from_text(text) for text in overrides),
        *(_layer(f"--{key.split('.')[-1]}", key, value) for key, value in (flags or {}).items() if value is not None),
    ]


def _merged(layers: Sequence[Layer]) -> tuple[dict[str, dict], dict[tuple[str, ...], str]]:
    """The blocks of `layers`, the later ones above the earlier; and where each key was written, (block, key) -> place."""
    merged: dict[str, dict] = {}
    places: dict[tuple[str, ...], str] = {}
    for place, layer in layers:
        check_keys(layer, Blocks, place)
        for block, keys in layer.items():
            merged.setdefault(block, {}).update(keys or {})
            places.update({(block, key): place for key in keys or {}})
    return merged, places


def _names_student(blocks: dict[str, dict]) -> bool:
    """Whether what was written, by block, is of a student's training."""
    return (blocks.get("train") or {}).get("student") in KINDS


def _checkpoints_of(merged: dict[str, dict]) -> list[str]:
    """The checkpoints whose network a training begins with: its teacher's, and one to go on from, which counts more."""
    named = merged.get("train", {}).get("teacher"), merged.get("run", {}).get("start_from")
    return [path for path in named if isinstance(path, str) and path]


def _network_layer(settings: Settings, merged: dict[str, dict]) -> dict:
    """What a training on from a checkpoint takes from its `settings`: network, diffusion, size of pictures, sampler.

    merged: what was written for the training. A student's loss is its own, without a weighting; so are its dropout and sampler.
    """
    model, diffusion = dict(settings.model), dict(settings.diffusion)
    sampler = {"sample_info": settings.sample.sample_info}
    kind, steps = (merged.get("train", {}).get(key) for key in ("student", "student_steps"))
    if kind in KINDS:
        student = Student(kind, steps if isinstance(steps, int) else 1)
        del model["dropout"], diffusion["loss_type"]
        diffusion["weighting"] = "none"
        sampler = {} if _draws(merged.get("sample", {}).get("sample_info"), student) else {"sample_info": student.sampler}
    elif settings.student is not None:
        del diffusion["loss_type"]  # a student's own
        sampler = {}  # it would not draw from what is no student any more
    return {
        "data": {"image_size": settings.data.image_size, "image_channel": settings.data.image_channel},
        "model": model,
        "diffusion": diffusion,
        "sample": sampler,
    }


def _draws(sampler: object, student: Student) -> bool:
    """Whether the setting sample.sample_info, which is not checked yet, names one that draws from the student."""
    try:
        return why_not(SampleInfo.parse(str(sampler)), student) is None
    except ValueError:
        return False


def with_overrides(settings: Settings, overrides: Sequence[str]) -> Settings:
    """`settings` with KEY=VALUE texts over them, as in `model.num_heads=1`. RequestError as of `load_settings`."""
    own = ("the file", settings.model_dump(exclude={"data_name"}))
    merged, places = _merged([own, *map(_layer_from_text, overrides)])
    merged["data_name"] = settings.data_name
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise RequestError(explain(error, places, "--set")) from None


def read_yaml(path: str) -> dict:
    """The mapping in a YAML file. RequestError if it cannot be read, is no mapping, or gives a key twice."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # reading a FIFO would wait for ever
            raise RequestError(f"the configuration {path} is no file; --config names a YAML file such as config.yaml")
        if os.path.getsize(path) > LARGEST_FILE:
            raise RequestError(f"the configuration {path} is larger than {LARGEST_FILE:,} bytes: it is something else")
        document = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"the configuration {path} cannot be read: {reason_of(error)}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise RequestError(f"{path} is not UTF-8 text (line {line}): if it is YAML, save it again as UTF-8") from None
    except UNREADABLE as error:
        raise RequestError(f"{path} is no valid YAML: {why_unreadable(error)}") from None
    if not isinstance(document, dict):
        raise RequestError(f"{path} must hold the keys Train_Setting and Train_Data")
    return document


def to_yaml(settings: Settings) -> str:
    """The resolved settings as a config.yaml of their own, which trains the same run again."""
    blocks = settings.model_dump(exclude={"data_name"})
    document = {"Train_Setting": blocks, "Train_Data": {settings.data_name: {}}}
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, allow_unicode=True)


def differences(old: Settings, new: Settings, blocks: tuple[str, ...]) -> list[str]:
    """`block.key: old -> new` for each key of `blocks` that differs, but for those that only say where the data is fetched."""
    lines = []
    for block in blocks:
        before, after = (
            {key: value for key, value in getattr(settings, block) if key not in ("data_path", "cache_dir", "download")}
            for settings in (old, new)
        )
        lines += [f"{block}.{key}: {before[key]} -> {after[key]}" for key in before if before[key] != after[key]]
    return lines


def explain(error: ValidationError, places: dict[tuple[str, ...], str], default_place: str) -> str:
    """A pydantic error as one line: where each mistake was written, what it is, and what would be right."""
    lines = []
    mistakes = error.errors(include_url=False, include_context=False)
    for mistake in mistakes[:SHOWN_MISTAKES]:
        location = tuple(str(part) for part in mistake["loc"])
        message = mistake["msg"].removeprefix("Value error, ")
        if location:
            place = places.get(location[:2], default_place)
            value = f", not {short(mistake['input'])}"
            lines.append(f"{place}: {'.'.join(location[:2])}: {message[0].lower()}{message[1:]}{value}")
        else:
            lines.append(message)
    if len(mistakes) > SHOWN_MISTAKES:
        lines.append(f"and {len(mistakes) - SHOWN_MISTAKES} more")
    return "; ".join(dict.fromkeys(lines))


def _layer_from_text(text: str) -> Layer:
    """`train.learning_rate=2e-4` as a layer."""
    key, equals, value = text.partition("=")
    text = text if len(text) <= 200 else f"{text[:200]}..."
    if not equals or key.count(".") != 1:
        raise RequestError(f"--set {text}: it is written BLOCK.KEY=VALUE, as in train.learning_rate=2e-4")
    try:
        return _layer(f"--set {text}", key, parse_yaml(value))
    except UNREADABLE as error:
        raise RequestError(f"--set {text}: the value is no valid YAML: {why_unreadable(error)}") from None


def _layer(place: str, key: str, value: object) -> Layer:
    block, name = key.split(".")
    return place, {block: {name: value}}
