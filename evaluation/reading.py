"""Which class a picture shows, as an extractor's classes or a linear probe on its features read it."""

from functools import cached_property

from torch import Tensor

from evaluation.classifier import CLASSES
from evaluation.extractor import Extractor, Features
from evaluation.linear_probe import LinearProbe, fit_linear_probe
from evaluation.measures import CONFIDENT
from evaluation.reference import RealPictures


class Reader:
    """Reads classes: by an extractor that is a classifier of them, else by a linear probe on its features.

    The probe learns from `real` pictures and their labels, so it may be asked about drawn pictures and about other real ones.
    """

    def __init__(self, extractor: Extractor | None, real: RealPictures):
        self.extractor = extractor
        self.real = real

    @property
    def probe_name(self) -> str | None:
        """The probe in words; None where the extractor itself reads the classes, or nothing does."""
        real, extractor = self.real, self.extractor
        if extractor is None or real.labels is None or (extractor.is_classifier and len(real.class_names) == CLASSES):
            return None
        return f"a linear probe on the features, fitted to {real.name}, {len(real.pictures):,} pictures"

    def reads(self, num_classes: int, class_names: tuple[str, ...] = ()) -> bool:
        """Whether it reads so many classes, of such names where they are known.

        A classifier does if it has as many, which are then the data's own; a probe if they are the classes of its data.
        """
        if self.probe_name is not None:
            return num_classes == len(self.real.class_names) and class_names in ((), self.real.class_names)
        is_classifier = self.extractor is not None and self.extractor.is_classifier
        are_known = class_names and self.real.class_names
        return is_classifier and num_classes == CLASSES and (not are_known or class_names == self.real.class_names)

    @cached_property
    def _probe(self) -> LinearProbe:
        return fit_linear_probe(self.real.features.features, self.real.labels, len(self.real.class_names))

    def answers(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        """What is said of N pictures of such classes as `reads` takes: bool (N,).

        read_as_asked: whether its label, of (N,), is its likeliest class. confident: whether a classifier is surer than 0.99,
        whatever it reads; a probe is not asked, as its probabilities mean less.
        """
        if self.probe_name is not None:
            return {"read_as_asked": self._probe(features.features).argmax(dim=1) == labels}
        surest, read = features.logits.softmax(dim=1).max(dim=1)
        return {"read_as_asked": read == labels, "confident": surest > CONFIDENT}
