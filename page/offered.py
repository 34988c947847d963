"""The checkpoints and runs that are offered. A visitor names them; where they lie, only this file knows."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from datasets import ImageDataset, LabelledImages
from interop import open_checkpoint
from interop.locate import find_model
from page.limits import Limits, classes_within
from page.refusals import refused
from sampling import Trained, load_trained
from utils.checkpoints import LOG_FILE, WEIGHTS_FILE
from utils.errors import RequestError

MODELS_KEPT = 6  # in memory, the most recently used
PRECISIONS = ("auto", "fp32", "bf16")


class Model(NamedTuple):
    """A checkpoint, ready to draw; the `sampler` that it asks for; and the `data` that it was trained on."""

    trained: Trained
    sampler: str
    data: ImageDataset

    def pictures(self) -> LabelledImages:
        """Those of the data. RequestError if they are not on this machine; why not is no concern of a visitor's."""
        try:
            return self.data.load(progress=False)
        except RequestError:
            raise refused("no_pictures", name=self.trained.data_name) from None


class Offered:
    """Checkpoints and runs by their names, as they are on the disk now.

    paths: the checkpoints that are offered; none: all in `shipped` and in the runs below `trained`. The runs are those below
    `trained` and in the folders of `paths`.
    """

    def __init__(self, shipped: Path, trained: Path, paths: Sequence[str], device: torch.device, limits: Limits):
        self.shipped = shipped
        self.trained = trained
        self.paths = [Path(find_model(path)).absolute() for path in paths]
        self.device = device
        self.limits = limits
        self._kept: OrderedDict[tuple, Model] = OrderedDict()
        self._lock = Lock()

    def check(self) -> None:
        """RequestError if there is nothing to offer, or if one of the given checkpoints cannot be drawn from."""
        for path in self.paths:
            self._read(path)
        if not self.models():
            raise RequestError(
                f"there is no checkpoint in {self.shipped}, nor in a run below {self.trained}: name one by --model_path"
            )

    def models(self) -> dict[str, Path]:
        """The checkpoints, by their names; of those that ship the smallest, which is the quickest, first."""
        found = self.paths or [
            path
            for path in [
                *sorted(self.shipped.glob("*.safetensors"), key=lambda path: path.stat().st_size),
                *sorted(self.trained.glob(f"*/{WEIGHTS_FILE}")),
            ]
            if _carries_settings(path)
        ]
        return _by_name(found)

    def runs(self) -> dict[str, Path]:
        """The folders of trainings, also of those that go on now, by their names."""
        folders = [path.parent for path in self.paths] + sorted(self.trained.glob("*"))
        return {folder.name: folder for folder in folders if (folder / LOG_FILE).is_file()}

    def load(self, name: object, class_label: object = None, precision: object = "auto") -> Model:
        """The checkpoint of that name. RequestError if there is none, or if it has no such class or precision."""
        path = self.models().get(name) if isinstance(name, str) else None
        if path is None:
            raise refused("no_checkpoint", name=str(name)[:80])
        if precision not in PRECISIONS:
            raise refused("precision", precisions=", ".join(PRECISIONS))
        if class_label is not None and not isinstance(class_label, str):
            raise refused("class_list")
        stat = path.stat()  # a training writes it anew
        key = (path, stat.st_mtime_ns, stat.st_size, class_label, precision)
        with self._lock:
            if key not in self._kept:
                model = self._read(path, class_label, precision)
                if (side := max(model.trained.shape)) > self.limits.side:
                    raise refused("too_large", name=name, side=side, most=self.limits.side)
                self._kept[key] = model
                while len(self._kept) > MODELS_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _read(self, path: Path, class_label: str | None = None, precision: str = "auto") -> Model:
        """The checkpoint in the file. Where anything is written is not its to say, and nothing is downloaded for a visitor."""
        checkpoint = open_checkpoint(path)
        if class_label is not None:
            classes_within(class_label, checkpoint.settings.model.num_classes, checkpoint.classes.names)
        data = checkpoint.settings.data.model_dump(exclude={"cache_dir", "download"})
        return Model(
            load_trained(checkpoint, path, self.device, precision, class_label=class_label),
            checkpoint.settings.sample.sample_info,
            ImageDataset(**data, download=False),
        )

    def run(self, name: object) -> Path:
        """The folder of the run of that name. RequestError if there is none."""
        folder = self.runs().get(name) if isinstance(name, str) else None
        if folder is None:
            raise refused("no_run", name=str(name)[:80])
        return folder


def _by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Each by its file's name, or by its run's; with the folder before it where two are alike."""
    names = [path.parent.name if path.name == WEIGHTS_FILE else path.stem for path in paths]
    return {
        name if names.count(name) == 1 else f"{path.parent.parent.name}/{path.parent.name}/{path.name}": path
        for name, path in zip(names, paths)
    }


def _carries_settings(path: Path) -> bool:
    """Whether the file says what network its weights are of: an extractor's does not."""
    try:
        with safe_open(path, framework="pt") as file:
            return "settings" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False
