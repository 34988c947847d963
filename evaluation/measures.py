"""The figures of drawn pictures beside real ones, computed by torch-fidelity from an extractor's features."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from diffusion import SampleInfo
from evaluation.extractor import Extractor, Features
from evaluation.reference import Reference
from sampling.drawing import batches_of, draw
from sampling.trained import Trained
from utils.errors import RequestError

CONFIDENT = 0.99  # probability of the likeliest class
KID_SUBSET = 1000  # pictures; fewer where there are fewer
PAPERS_PICTURES = 50_000  # what papers measure FID with: with fewer it is larger

Figures = dict[str, float | list[int]]


def measure(
    drawn: Tensor | Features, reference: Tensor | np.ndarray | Features, extractor: Extractor, *, seed: int = 0
) -> Figures:
    """The figures of `drawn` beside `reference`: both uint8 (N, C, H, W), or the extractor's features of such pictures.

    fid: the squared Frechet distance of Gaussians fitted to the features (Heusel et al. 2017, Eq. 6). kid, kid_std: the
    unbiased squared MMD with a cubic kernel, its mean and spread over 100 subsets (Binkowski et al. 2018). precision,
    recall: the share of either inside the other's manifold of third neighbours (Kynkaanniemi et al. 2019).
    inception_score: Salimans et al. 2016, over 10 parts. With a classifier of the data's own classes also confident: the
    share that it is surer of than 0.99, and class_histogram: how many it reads as each class.

    `seed` draws KID's subsets. RequestError if there are too few pictures for a covariance.
    """
    drawn, reference = (of if isinstance(of, Features) else extractor(of) for of in (drawn, reference))
    check_count(len(drawn.features), extractor)
    check_count(len(reference.features), extractor)
    first, second = drawn.features.double(), reference.features.double()
    options = {"verbose": False, "save_cpu_ram": True, "prc_batch_size": 2500, "rng_seed": seed % 2**32}
    subset = min(KID_SUBSET, len(first), len(second))
    distance = fid_statistics_to_metric(fid_features_to_statistics(first), fid_features_to_statistics(second), False)
    kernel = kid_features_to_metric(first, second, kid_subset_size=subset, **options)
    manifold = prc_features_to_metric(drawn.features, reference.features, **options)
    score = isc_features_to_metric(drawn.logits, rng_seed=seed % 2**32)
    figures: Figures = {
        "fid": distance["frechet_inception_distance"],
        "kid": kernel["kernel_inception_distance_mean"],
        "kid_std": kernel["kernel_inception_distance_std"],
        "precision": manifold["precision"],
        "recall": manifold["recall"],
        "inception_score": score["inception_score_mean"],
    }
    if extractor.is_classifier:
        probabilities = drawn.logits.softmax(dim=1)
        figures["confident"] = (probabilities.amax(dim=1) > CONFIDENT).double().mean().item()
        figures["class_histogram"] = torch.bincount(
            probabilities.argmax(dim=1), minlength=probabilities.shape[1]
        ).tolist()
    return figures


def check_count(count: int, extractor: Extractor) -> None:
    """RequestError if so many pictures leave the covariance of the features singular."""
    if count <= extractor.dimension:
        raise RequestError(
            f"{count:,} pictures are too few for a covariance of the {extractor.dimension:,} features of {extractor.name}: "
            f"--sample_num must be above {extractor.dimension:,}, and so must the number of real pictures"
        )


class Floor(NamedTuple):
    """What real pictures that were held out give, measured as drawn ones are: no model can be expected to be nearer."""

    figures: Figures
    pictures: int
    held_out: str  # what they are
    beside: str  # what they were compared with


def measure_floor(reference: Reference, extractor: Extractor, count: int, *, seed: int = 0) -> Floor:
    """The figures of `count` held-out real pictures, or of as many as there are, chosen by `seed`."""
    available = len(reference.held_out.pictures)
    index = np.sort(np.random.default_rng(seed).permutation(available)[:count])
    held_out = reference.held_out.part(reference.held_out.name, index)
    figures = measure(held_out.features, reference.beside.features, extractor, seed=seed)
    return Floor(figures, len(index), held_out.name, reference.beside.name)


class Drawn(NamedTuple):
    """Drawn pictures, uint8 (N, C, H, W); the network calls that each took; the seconds that all took."""

    pictures: Tensor
    network_calls: int
    seconds: float


def draw_pictures(
    trained: Trained,
    info: SampleInfo,
    seeds: range,
    batch_size: int | None = None,
    advance: Callable[[int], object] | None = None,
) -> Drawn:
    """One picture a seed, `batch_size` (the checkpoint's sample.batch_size) at a time.

    `advance` is told, after each network call, the number of pictures it was for.
    """
    calls = 0

    def counted(x_t: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        output = trained.network(x_t, t)
        calls += len(x_t)  # after the call: one that found too little memory is made again in halves
        if advance is not None:
            advance(len(x_t))
        return output

    start = time.perf_counter()
    pictures = [
        draw(counted, trained.diffusion, info, batch, trained.shape, trained.device)
        for batch in batches_of(seeds, batch_size or trained.batch_size)
    ]
    seconds = time.perf_counter() - start  # the pictures are on the CPU: nothing is still under way
    return Drawn(torch.cat(pictures), calls // len(seeds), seconds)
