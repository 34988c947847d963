"""Can a network tell drawn pictures from real ones? The classifier two-sample test (Lopez-Paz and Oquab 2017).

It sees what an extractor's features do not: they were learned for something else than telling drawn from real.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasets import to_float

SPLITS = 3  # random halvings, a network for each
STEPS = 200
BATCH = 64  # half of them real
LEAST = 16  # pictures of either kind
MOST = 2000
LEARNING_RATE = 4e-3
INTERVAL = 1.96  # standard errors: 95 %


class TwoSampleTest(NamedTuple):
    """How often networks were right about N drawn and N real pictures that they were not trained on; 0.5: cannot tell.

    accuracies: one a split. pictures: N. probability: for each of the N drawn pictures, how sure the networks that were
    asked about it were that it is drawn, their mean (nan where none was asked), (N,).
    """

    accuracies: list[float]
    pictures: int
    probability: Tensor

    @property
    def accuracy(self) -> float:
        """The mean over the splits."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def interval(self) -> tuple[float, float]:
        """95 %: 1.96 binomial standard errors of one split's N answers, as the splits have their pictures in common.

        The error at 0.5, the largest, is taken, so that an accuracy of 1 of few pictures is not called certain.
        """
        half = INTERVAL * 0.5 / self.pictures**0.5
        return max(0.0, self.accuracy - half), min(1.0, self.accuracy + half)

    def surest(self, count: int) -> Tensor:
        """The numbers of the drawn pictures that the networks were surest of, the surest first: (count or fewer,)."""
        return self.probability.nan_to_num(-1.0).argsort(descending=True, stable=True)[:count]


def two_sample_test(drawn: Tensor, real: Tensor, *, seed: int = 0) -> TwoSampleTest | None:
    """Of uint8 pictures (N, C, H, W) and (M, C, H, W), any C, and H and W of 8 or more; on the CPU, the same every time.

    As many of either kind are taken, MOST at most: the first of `drawn`, of `real` those that `seed` chooses. In each
    split a network learns from one half and is asked about the other. None where there are fewer than LEAST of a kind.
    """
    count = min(len(drawn), len(real), MOST)
    if count < LEAST:
        return None
    rng = np.random.default_rng(seed)
    chosen = torch.from_numpy(rng.permutation(len(real))[:count])
    pictures = torch.cat([drawn[:count].cpu(), real[chosen].cpu()])
    is_drawn = torch.arange(2 * count) < count
    accuracies, sums, asked = [], torch.zeros(2 * count), torch.zeros(2 * count)
    for _ in range(SPLITS):
        halves = [torch.from_numpy(start + rng.permutation(count)) for start in (0, count)]  # of either kind
        train, test = (torch.cat([half[part] for half in halves]) for part in _halves(count))
        network = _train(pictures[train], is_drawn[train], seed=int(rng.integers(2**31)))
        probability = _probability(network, pictures[test])
        accuracies.append(((probability > 0.5) == is_drawn[test]).double().mean().item())
        sums[test] += probability
        asked[test] += 1
    return TwoSampleTest(accuracies, count, (sums / asked)[:count])


def _halves(count: int) -> tuple[slice, slice]:
    return slice(0, count // 2), slice(count // 2, count)


def _network(channels: int) -> nn.Module:
    """(B, C, H, W) in [-1, 1] -> (B, 1), how sure it is that they are drawn, before the logistic function."""

    def stage(c_in: int, c_out: int) -> list[nn.Module]:
        return [nn.Conv2d(c_in, c_out, 3, stride=2, padding=1), nn.BatchNorm2d(c_out), nn.ReLU()]

    layers = [*stage(channels, 16), *stage(16, 32), *stage(32, 64), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.3), nn.Linear(4 * 64, 1))


def _train(pictures: Tensor, is_drawn: Tensor, *, seed: int) -> nn.Module:
    """A network after STEPS batches of uint8 pictures (N, C, H, W), half of them drawn."""
    kinds = [is_drawn.nonzero().flatten(), (~is_drawn).nonzero().flatten()]
    wanted = torch.tensor([1.0, 0.0]).repeat_interleave(BATCH // 2)[:, None]
    with torch.random.fork_rng(devices=[]):  # what others draw afterwards does not depend on this
        torch.manual_seed(seed)
        network = _network(pictures.shape[1]).train()
        optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS)
        for _ in range(STEPS):
            batch = torch.cat([kind[torch.randint(len(kind), (BATCH // 2,))] for kind in kinds])
            loss = F.binary_cross_entropy_with_logits(network(to_float(pictures[batch])), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.inference_mode()
def _probability(network: nn.Module, pictures: Tensor) -> Tensor:
    """That uint8 pictures (N, C, H, W) are drawn, (N,)."""
    return torch.cat([network(to_float(part)).flatten().sigmoid() for part in pictures.split(500)])
