"""Whether folders of drawn digits, and real digits that were held out, can be told apart; how many are read with confidence.

    python test_solver.py --model_path checkpoints/mnist_mini.safetensors --sample_num 1000 --save_images
    python benchmarks/digit_confidence.py results/mnist_mini_DPMPP_20_0p0_images [MORE FOLDERS OR CELLS]

A cell is what `--test_mode compare` keeps, compare_cells/NAME.npz. All are read by the extractor of `--test_mode evaluate`,
checkpoints/digits_extractor.safetensors. That mode has the figures of one model; this compares any two sets of pictures: a
kernel two-sample test (Gretton et al. 2012) of their features with KID's kernel. Drawn sets are taken to be of the same seeds,
0 and so on, and are compared seed by seed. Noise, too, can be read with confidence, so look at the pictures.
"""

import argparse
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402

from datasets import ImageDataset  # noqa: E402
from evaluation.extractor import load_extractor  # noqa: E402
from evaluation.measures import CONFIDENT  # noqa: E402

PERMUTATIONS = 1000
REAL = "held-out real digits"


def report(name: str, probabilities: Tensor) -> None:
    """One line: the share read with confidence, and how often each digit was read."""
    share = (probabilities.amax(dim=1) > CONFIDENT).float().mean()
    counts = torch.bincount(probabilities.argmax(dim=1), minlength=10).tolist()
    print(
        f"{name}: {len(probabilities):,} pictures, {share:.1%} read with confidence > {CONFIDENT}; as 0 ... 9: {counts}"
    )


def two_sample_test(a: Tensor, b: Tensor, *, paired: bool = False) -> tuple[float, float]:
    """Squared MMD of two sets of features (N, D), (M, D), and the p-value of a permutation test (Phipson and Smyth 2010).

    The kernel is KID's (Binkowski et al. 2018): (x y / D + 1)^3. `paired`: a[i] and b[i] are drawn from one seed, and so not
    independent; then a permutation swaps the two of a seed or leaves them. Else it divides all pictures anew.
    p is (count + 1) / (PERMUTATIONS + 1), where the count is of those with as large an MMD: it cannot be 0.
    """
    n, m = len(a), len(b)
    assert n == m or not paired, (n, m)
    both = torch.cat([a, b]).double()
    kernel = (both @ both.T / both.shape[1] + 1) ** 3
    kernel.fill_diagonal_(0)
    if paired:
        swaps = [torch.rand(n) < 0.5 for _ in range(PERMUTATIONS)]
        permuted = [torch.cat([~swapped, swapped]) for swapped in swaps]
    else:
        permuted = [torch.randperm(n + m).argsort() < n for _ in range(PERMUTATIONS)]
    # One column a division into two sets: 1 for the first set. The first column is the division that was found.
    first = torch.stack([torch.arange(n + m) < n, *permuted], dim=1).double()
    within_first = (first * (kernel @ first)).sum(dim=0)
    across = first.T @ kernel.sum(dim=1) - within_first
    within_second = kernel.sum() - 2 * across - within_first
    mmd = within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2 * across / (n * m)
    as_large = (mmd[1:] >= mmd[0] - 1e-12 * kernel.mean()).sum().item()  # equal ones differ by rounding
    return mmd[0].item(), (as_large + 1) / (PERMUTATIONS + 1)


def drawn(path: Path) -> np.ndarray:
    """The pictures of a folder of PNGs, or of a comparison's cell: uint8 (N, 1, H, W)."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as cell:
            return cell["pictures"]
    return np.stack([np.array(Image.open(file).convert("L")) for file in sorted(path.glob("*.png"))])[:, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "path", type=Path, nargs="+", help="an ..._images folder of test_solver.py --save_images, or a cell of compare"
    )
    paths = parser.parse_args().path
    torch.manual_seed(0)
    extractor = load_extractor("digits")
    real = ImageDataset("mnist_mini", image_size=28, image_channel=1).load("test").images
    sets = {REAL: extractor(real)}
    for path in paths:
        sets[str(path)] = extractor(drawn(path))
    print(f"extractor: {extractor}")
    for name, found in sets.items():
        report(name, found.logits.softmax(dim=1))
    for one, other in itertools.combinations(sets, 2):
        # All that is drawn begins with the seeds from 0 on, of which as many are compared as both have.
        paired = one != REAL
        count = min(len(sets[one].features), len(sets[other].features)) if paired else None
        mmd, p = two_sample_test(sets[one].features[:count], sets[other].features[:count], paired=paired)
        verdict = "can be told apart" if p < 0.05 else "not decided"
        print(f"{one} and {other}: {verdict} (MMD^2 {mmd:.4f}, p = {p:.3f}, {PERMUTATIONS} permutations)")


if __name__ == "__main__":
    main()
