"""Drawn pictures that are to be measured, and the record of what they gave."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusion import SampleInfo
from evaluation.extractor import Features
from evaluation.measures import class_figures
from evaluation.picture_metrics import PictureMetrics, SeedSets
from evaluation.record import fid_left_out, identity, model_record, summary
from evaluation.two_sample import TwoSampleTest
from sampling.drawing import batches_of, draw
from sampling.memory import default_batch
from sampling.trained import Trained
from utils.distributed import Ranks, share_out


class Drawn(NamedTuple):
    """Drawn pictures, uint8 (N, C, H, W), and the seconds that all took."""

    pictures: Tensor
    seconds: float


def network_calls(trained: Trained, info: SampleInfo) -> int:
    """How often the network is evaluated for a picture."""
    return info.network_calls_on(info.pairs_on(trained.diffusion))


def draw_pictures(
    trained: Trained,
    info: SampleInfo,
    seeds: range,
    batch_size: int | None = None,
    advance: Callable[[int], object] | None = None,
    ranks: Ranks | None = None,
) -> Drawn:
    """One picture a seed, `batch_size` (None: see `default_batch`) at a time; its class, if any, follows from its seed or is
    asked for.

    `advance` is told, after each network call, the number of pictures it was for. The `ranks` share the batches out, and
    each is given all pictures.
    """

    def network(x_t: Tensor, t: Tensor, *labels: Tensor) -> Tensor:
        output = trained.network(x_t, t, *labels)
        if advance is not None:
            advance(len(x_t))  # after the call: one that found too little memory is made again in halves
        return output

    def draw_batch(batch: range) -> Tensor:
        return draw(
            network,
            trained.diffusion,
            info,
            batch,
            trained.shape,
            trained.device,
            labels=trained.labels_of(batch),
            num_classes=trained.num_classes,
        )

    at_a_time = batch_size or _default_batch(trained, len(seeds), ranks)
    start = time.perf_counter()
    pictures = share_out(ranks, list(batches_of(seeds, at_a_time)), draw_batch)
    seconds = time.perf_counter() - start  # the pictures are on the CPU: nothing is still under way
    return Drawn(torch.cat(pictures), seconds)


def _default_batch(trained: Trained, count: int, ranks: Ranks | None) -> int:
    """`default_batch`, the same on all ranks, whose memories may differ."""
    if ranks is None:
        return default_batch(trained)
    return ranks.broadcast_from_rank0(lambda: default_batch(trained, ranks.size, count))


class Measured(NamedTuple):
    """The record of a cell; the pictures of its first set, their features (None without an extractor), and whether these
    pictures can be told from real ones (None: too few)."""

    record: dict[str, Any]
    first: Tensor
    features: Features | None
    two_sample: TwoSampleTest | None


def measure_sets(
    trained: Trained,
    info: SampleInfo,
    seed_sets: SeedSets,
    drawn: Iterable[Drawn],
    metrics: PictureMetrics,
    floor: dict[str, Any],
) -> Measured:
    """Measures one set after the other, of which only the first is kept. `floor` is that of `metrics`, for the record.

    Called by all ranks that share `metrics`; only the main one's record has anything in it.
    """
    runs, seconds, first, first_features, asked = [], 0.0, None, None, []
    for (pictures, its_seconds), seeds in zip(drawn, seed_sets.ranges(), strict=True):
        features = metrics.features(pictures)
        runs.append(metrics.figures(pictures, features, seeds[0]))
        labels = trained.labels_of(seeds)
        if metrics.is_main and labels is not None and metrics.reader.reads(trained.num_classes, trained.classes.names):
            labels = torch.as_tensor(labels)
            asked.append((metrics.reader.answers(features, labels), labels))
            runs[-1]["read_as_asked"] = asked[-1][0]["read_as_asked"].double().mean().item()
        seconds += its_seconds
        if first is None:
            first, first_features = pictures, features
    if not metrics.is_main:
        return Measured({}, first, first_features, None)
    protocol = metrics.protocol(seed_sets)
    two_sample = metrics.told_apart(first, seed_sets.seed)
    record = {
        **model_record(trained),
        "sampler": str(info),
        **identity(trained, info),
        "protocol": protocol,
        "figures": summary(runs),
        **({"read_by": metrics.reader.probe_name} if asked else {}),
        "by_class": _by_class(asked, trained.classes.names or [str(label) for label in range(trained.num_classes)]),
        "fid_left_out": fid_left_out(protocol),
        "told_apart": None if two_sample is None else told_apart_record(two_sample),
        "floor": floor,
        "network_calls": network_calls(trained, info),
        "seconds_a_picture": seconds / seed_sets.total,
    }
    return Measured(record, first, first_features, two_sample)


def _by_class(
    asked: Sequence[tuple[dict[str, Tensor], Tensor]], names: Sequence[str]
) -> dict[str, dict[str, float]] | None:
    """`class_figures` of all sets together; None where no class was asked for, or none can be read."""
    if not asked:
        return None
    answers = {question: torch.cat([of[question] for of, _ in asked]) for question in asked[0][0]}
    return class_figures(answers, torch.cat([labels for _, labels in asked]), names)


def told_apart_record(found: TwoSampleTest) -> dict[str, Any]:
    """The share of right answers, its 95 % interval, each split's, and of how many pictures of either kind."""
    return {
        "accuracy": found.accuracy,
        "interval": list(found.interval),
        "each": found.accuracies,
        "pictures": found.pictures,
    }
