"""The figures of drawn pictures compared with real ones, computed by torch-fidelity from an extractor's features."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from evaluation.extractor import Extractor, Features  # first: it asks for torch-fidelity
from evaluation.frechet import fid_infinity
from utils.errors import RequestError

from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric  # isort: skip
from torch_fidelity.metric_isc import isc_features_to_metric  # isort: skip
from torch_fidelity.metric_kid import kid_features_to_metric  # isort: skip
from torch_fidelity.metric_prc import prc_features_to_metric  # isort: skip

CONFIDENT = 0.99  # probability of the likeliest class
KID_SUBSET = 1000  # pictures; fewer where there are fewer

Figures = dict[str, float | list[int]]


def measure(
    drawn: Tensor | Features, reference: Tensor | np.ndarray | Features, extractor: Extractor, *, seed: int = 0
) -> Figures:
    """The figures of `drawn`, compared with `reference`: both uint8 (N, C, H, W), or the extractor's features of such pictures.

    fid: the squared Frechet distance of Gaussians fitted to the features (Heusel et al. 2017, Eq. 6), where there are more
    pictures than features on either side. fid_infinity: the same, extrapolated to infinitely many drawn pictures, where
    there are enough to extrapolate from. kid, kid_std: the
    unbiased squared MMD with a cubic kernel, its mean and standard deviation over 100 subsets (Binkowski et al. 2018).
    precision, recall: the share of either inside the other's manifold of third neighbours (Kynkaanniemi et al. 2019).
    inception_score: Salimans et al. 2016, over 10 parts, where there is an fid. With a classifier of the data's own classes
    also confident: the share that it is surer of than 0.99, and class_histogram: how many it reads as each class.

    KID is unbiased for any number of pictures: it is the figure of a small set. `seed` draws its subsets. RequestError if
    there are too few pictures for the extractor.
    """
    drawn, reference = (of if isinstance(of, Features) else extractor(of) for of in (drawn, reference))
    check_count(len(drawn.features), extractor)
    check_count(len(reference.features), extractor)
    first, second = drawn.features.double(), reference.features.double()
    options = {"verbose": False, "save_cpu_ram": True, "prc_batch_size": 2500, "rng_seed": seed % 2**32}
    subset = min(KID_SUBSET, len(first), len(second))
    kernel = kid_features_to_metric(first, second, kid_subset_size=subset, **options)
    manifold = prc_features_to_metric(drawn.features, reference.features, **options)
    figures: Figures = {}
    has_covariance = min(len(first), len(second)) > extractor.dimension
    if has_covariance:
        statistics = (fid_features_to_statistics(first), fid_features_to_statistics(second))
        figures["fid"] = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    extrapolated = fid_infinity(drawn.features, reference.features, seed=seed)
    if extrapolated is not None:
        figures["fid_infinity"] = extrapolated
    figures |= {
        "kid": kernel["kernel_inception_distance_mean"],
        "kid_std": kernel["kernel_inception_distance_std"],
        "precision": manifold["precision"],
        "recall": manifold["recall"],
    }
    if has_covariance:
        score = isc_features_to_metric(drawn.logits, rng_seed=seed % 2**32)
        figures["inception_score"] = score["inception_score_mean"]
    if extractor.is_classifier:
        probabilities = drawn.logits.softmax(dim=1)
        figures["confident"] = (probabilities.amax(dim=1) > CONFIDENT).double().mean().item()
        figures["class_histogram"] = torch.bincount(
            probabilities.argmax(dim=1), minlength=probabilities.shape[1]
        ).tolist()
    return figures


def class_figures(
    answers: dict[str, Tensor], labels: Tensor, class_names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """The share of yes to each question, by the name of the class that was asked for.

    answers: bool (N,), by question, as of `Reader.answers`; labels: int64 (N,). pictures: how many were of this class.
    Classes that were not asked for are left out.
    """
    found = {}
    for label, name in enumerate(class_names):
        of = labels == label
        if of.any():
            shares = {question: yes[of].double().mean().item() for question, yes in answers.items()}
            found[name] = {"pictures": int(of.sum()), **shares}
    return found


def check_count(count: int, extractor: Extractor) -> None:
    """RequestError if so many pictures are too few for the extractor."""
    if count < extractor.least:
        raise RequestError(
            f"{count:,} pictures are too few for the {extractor.dimension:,} features of {extractor.name}: "
            f"--sample_num must be above {extractor.least - 1:,}, and so must the number of real pictures"
        )
