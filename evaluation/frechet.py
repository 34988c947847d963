"""FID extrapolated to infinitely many drawn pictures: FID itself falls as 1/N, so that it cannot be compared across N."""

import numpy as np
import torch
from torch import Tensor

PARTS_MAX = 8  # the smallest sets that are measured are an eighth of all
LEAST_A_DIMENSION = 4  # pictures of the smallest sets for each feature: with fewer, FID is no straight line in 1/N


def fid_infinity(drawn: Tensor, reference: Tensor, *, seed: int = 0) -> float | None:
    """FID of infinitely many drawn pictures, from features (N, D) of N of them and (M, D) of real ones.

    Chong and Forsyth 2020, Sec. 3: the bias of FID is linear in 1/N, so that a line through the FIDs of several numbers
    of pictures is followed to 1/N = 0. Here all N pictures, shuffled by `seed`, are divided into K = 1, 2, ... parts, and
    the FIDs of the K parts, N / K pictures each, are averaged. The reference stays as it is: its own bias of about 1/M is
    the same for all that is compared with it. None where N is below 8 D, too few to draw a line by.
    """
    count, dimension = drawn.shape
    most = min(PARTS_MAX, count // (LEAST_A_DIMENSION * dimension))
    if most < 2:
        return None
    root = ReferenceRoot(reference)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(count))
    drawn = drawn.double()[order]
    inverse_counts, distances = [], []
    for parts in range(1, most + 1):
        size = count // parts
        distances.append(np.mean([root.distance(drawn[k * size : (k + 1) * size]) for k in range(parts)]))
        inverse_counts.append(1 / size)
    _, at_zero = np.polyfit(inverse_counts, distances, 1)
    return float(at_zero)


class ReferenceRoot:
    """The Gaussian of real features (M, D), and its covariance's root, which all distances from it have in common."""

    def __init__(self, reference: Tensor):
        reference = reference.double()
        self.mean, covariance = reference.mean(dim=0), reference.T.cov()
        values, vectors = torch.linalg.eigh(covariance)
        self.root = vectors * values.clamp(min=0).sqrt() @ vectors.T
        self.trace = covariance.trace()

    def distance(self, drawn: Tensor) -> float:
        """The squared Frechet distance of the Gaussian of features (N, D), float64: Heusel et al. 2017, Eq. 6."""
        covariance = drawn.T.cov()
        shared = torch.linalg.eigvalsh(self.root @ covariance @ self.root).clamp(min=0).sqrt().sum()
        shift = (drawn.mean(dim=0) - self.mean).square().sum()
        return (shift + self.trace + covariance.trace() - 2 * shared).item()
