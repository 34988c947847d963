"""Where a mode's real pictures come from."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from datasets import ImageDataset, LabelledImages
from datasets.decode import UnreadablePictureError, decode_file
from datasets.shaping import Shaping
from sampling import Trained
from sampling.interpolation import pick
from sampling.real_labels import labels_of
from utils.config import load_settings
from utils.errors import RequestError
from utils.settings import DataSettings, Settings
from utils.shapes import check_resize

LONGEST_WORD = 40


def real_data(
    settings: Settings, data_name: str | None = None, data_path: str | None = None, config: str | None = None
) -> ImageDataset:
    """The checkpoint's own data, or what --data_name and --data_path say, at the size that the network knows.

    Where anything is written is never said by the checkpoint, which may be a stranger's: the decoded pictures go to the
    default cache, and a set is downloaded only to the default place or to --data_path.
    """
    if config is not None and data_name is None:
        raise RequestError("--config says where --data_name is looked up: give both, or neither")
    data = settings.data.model_copy(
        update={
            "cache_dir": DataSettings().cache_dir,
            "download": settings.data.download and settings.data.data_path is None,
        }
    )
    if data_name is not None and (config is not None or data_name != settings.data_name):
        data = load_settings(config or "config.yaml", data_name, flags={"data.data_path": data_path}).data
    elif data_path is not None:
        data = data.model_copy(update={"data_path": data_path, "download": settings.data.download})
    # The network knows one size and number of channels, whatever the other data set is trained at.
    data = data.model_copy(update={"image_size": settings.data.image_size, "image_channel": settings.data.image_channel})
    try:
        check_resize(data.image_size, data.crop, data.resize)
    except ValueError as error:
        raise RequestError(f"--data_name {data_name} does not go with this network's pictures: {error}") from None
    return ImageDataset(**data.model_dump())


def data_words(settings: Settings, data_name: str | None, data_path: str | None, config: str | None) -> list[str]:
    """Words for the names of files: where the real pictures come from, if not from the checkpoint's own data."""
    own_name = config is None and data_name == settings.data_name
    given = [text for text in (None if own_name else data_name, data_path and Path(data_path).name) if text]
    return [re.sub(r"[^\w.-]", "-", text)[:LONGEST_WORD] for text in given]


def given_options(data_name: str | None, data_path: str | None, config: str | None) -> dict[str, str] | None:
    """The options that name other real pictures than the checkpoint's own, as they were given; None where there are none."""
    options = {"data_name": data_name, "data_path": data_path, "config": config}
    return {name: value for name, value in options.items() if value is not None} or None


def pictures_of(
    trained: Trained, data: ImageDataset, picture: str | None, seeds: Sequence[int]
) -> tuple[Tensor, Tensor | None]:
    """A real picture for each seed, which chooses it, or for all that in the file --picture; and their labels.

    uint8 (len(seeds), C, H, W), and int64 (len(seeds),): the classes that --class_label names, or else the pictures' own, see
    `labels_of`. RequestError if there are fewer pictures than seeds, or if the file is no picture.
    """
    if picture is None:
        check_enough(data.count(), len(seeds))
        loaded = data.load()
        check_enough(len(loaded.images), len(seeds))  # some may have been unreadable
        chosen = pick(len(loaded.images), seeds, 1)[0].numpy()
        pictures, labels = torch.from_numpy(loaded.images[chosen]), labels_of(trained, loaded, chosen)
    else:
        pictures = read_picture(picture, data.shaping).expand(len(seeds), -1, -1, -1)
        labels = torch.full((len(seeds),), trained.num_classes) if trained.num_classes else None
    asked_for = None if trained.class_label is None else trained.labels_of(seeds)
    return pictures, labels if asked_for is None else torch.tensor(asked_for)


def check_enough(picture_num: int, wanted: int, split: str = "train") -> None:
    """RequestError if there are fewer pictures than are wanted."""
    if wanted > picture_num:
        raise RequestError(f"--sample_num {wanted}: there are {picture_num:,} pictures in the {split} split")


def load_split(data: ImageDataset, split: str, wanted: int) -> LabelledImages:
    """The pictures of `split`, "train" or "test". RequestError if the data has no such split, or fewer than `wanted` in it."""
    if not data.has_split(split):
        raise RequestError(
            f"{data.source} has no {split} split: --split train takes training pictures; or name held-out ones by "
            "--data_path FOLDER and --split train"
        )
    loaded = data.load(split)
    check_enough(len(loaded.images), wanted, split)
    return loaded


def read_picture(path: str, shaping: Shaping) -> Tensor:
    """The picture in the file, cropped and resized as a data set's are, where that is at random its centre: uint8 (C, H, W)."""
    if not Path(path).is_file():
        raise RequestError(f"--picture {path}: there is no such file")
    try:
        return torch.from_numpy(decode_file(path, shaping._replace(crop="center") if shaping.crop == "random" else shaping))
    except UnreadablePictureError as error:
        raise RequestError(f"--picture {path}: {error}") from None


def check_picture_alone(picture: str | None, data_name: str | None, data_path: str | None, config: str | None) -> None:
    """RequestError where both a file and a data set are named."""
    if picture is not None and (data_name, data_path, config) != (None, None, None):
        raise RequestError(f"--picture {picture}: it takes the place of --data_name, --data_path and --config; leave those out")
