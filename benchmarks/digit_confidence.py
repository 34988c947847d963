"""How many drawn digits a small classifier reads with confidence, beside real ones that it has never seen.

    python test_solver.py --model_path checkpoints/mnist_mini.safetensors --sample_num 1000 --save_images
    python benchmarks/digit_confidence.py results/mnist_mini_DDIM_50_0p0_images [MORE FOLDERS]

The classifier is trained first (a minute or two on two cores): on the 7,000 labelled digits that the model was
trained on, shifted, turned and scaled a little; never on the 1,000 held out. To compare models by, not a proof: noise, too,
can be read with confidence, so look at the pictures. It also says of any two folders, and of each and the real digits,
whether the classifier's features can tell them apart: a kernel two-sample test (Gretton et al. 2012) with KID's kernel.
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from tqdm import trange

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders

from datasets import load_images, load_labels, to_float  # noqa: E402

CONFIDENT = 0.99  # probability of the likeliest digit
EPOCHS, BATCH = 8, 100
FEATURES = 64
PERMUTATIONS = 1000


def classifier() -> nn.Sequential:
    """(B, 1, 28, 28) in [-1, 1] -> (B, 10) logits."""

    def stage(c_in: int, c_out: int) -> list[nn.Module]:
        return [nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(), nn.MaxPool2d(2)]

    features = [*stage(1, 24), *stage(24, 48), *stage(48, 96), nn.Flatten(), nn.Linear(96 * 9, FEATURES), nn.ReLU()]
    return nn.Sequential(nn.Sequential(*features), nn.Dropout(0.3), nn.Linear(FEATURES, 10))


def jitter(x: Tensor) -> Tensor:
    """Each picture turned by up to 12 degrees, scaled by up to 10 % and shifted by up to 2 pixels."""
    angle, scale = (torch.rand(2, len(x)) * 2 - 1) * torch.tensor([[0.2], [0.1]])
    scale = scale + 1
    shift = (torch.rand(len(x), 2) * 2 - 1) * 2 / 14
    turn = torch.stack([scale * angle.cos(), -angle.sin(), angle.sin(), scale * angle.cos()], dim=1).view(-1, 2, 2)
    places = F.affine_grid(torch.cat([turn, shift[:, :, None]], dim=2), list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, places, align_corners=False) - 1


def train(x: Tensor, labels: Tensor) -> nn.Sequential:
    """The classifier after EPOCHS epochs, ready to be asked."""
    model = classifier()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    steps = EPOCHS * len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    order = torch.cat([torch.randperm(len(x)) for _ in range(EPOCHS)])
    for step in trange(steps, desc="classifier"):
        batch = order[step * BATCH : (step + 1) * BATCH]
        loss = F.cross_entropy(model(jitter(x[batch])), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def report(name: str, probabilities: Tensor) -> None:
    """One line: the share read with confidence, and how often each digit was read."""
    share = (probabilities.amax(dim=1) > CONFIDENT).float().mean()
    counts = torch.bincount(probabilities.argmax(dim=1), minlength=10).tolist()
    print(
        f"{name}: {len(probabilities):,} pictures, {share:.1%} read with confidence > {CONFIDENT}; as 0 ... 9: {counts}"
    )


def two_sample_test(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Squared MMD of two sets of features (N, D), (M, D), and the share of random divisions of them that have as much.

    A share under 0.05 says that they can be told apart. The kernel is KID's (Binkowski et al. 2018): (x y / D + 1)^3.
    """
    both = torch.cat([a, b]).double()
    kernel = (both @ both.T / both.shape[1] + 1) ** 3
    kernel.fill_diagonal_(0)
    n, m = len(a), len(b)
    # One column a division into n and m: 1 for the first set. The first column is the division that was found.
    divisions = [torch.arange(n + m), *(torch.randperm(n + m) for _ in range(PERMUTATIONS))]
    first = torch.stack([(order.argsort() < n).double() for order in divisions], dim=1)
    within_first = (first * (kernel @ first)).sum(dim=0)
    across = first.T @ kernel.sum(dim=1) - within_first
    within_second = kernel.sum() - 2 * across - within_first
    mmd = within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2 * across / (n * m)
    return mmd[0].item(), (mmd[1:] >= mmd[0]).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="+", help="the ..._images folder of test_solver.py --save_images")
    folders = parser.parse_args().folder
    torch.manual_seed(0)
    common = {"source": "mnist_mini", "data_path": None, "image_size": 28, "image_channel": 1, "download": False}
    common |= {"skip_unreadable": False, "cache_dir": "data/cache"}
    real = {
        split: to_float(torch.from_numpy(np.array(load_images(**common, split=split)))) for split in ("train", "test")
    }
    labels = {split: torch.from_numpy(load_labels("mnist_mini", split)).long() for split in real}
    model = train(real["train"], labels["train"])
    sets = {"held-out real digits": real["test"]}
    for folder in folders:
        pictures = [np.array(Image.open(path).convert("L")) for path in sorted(folder.glob("*.png"))]
        sets[str(folder)] = to_float(torch.from_numpy(np.stack(pictures))[:, None])
    with torch.no_grad():
        features = {name: model[0](x) for name, x in sets.items()}
        held_out = model[2](features["held-out real digits"]).argmax(dim=1)
    print(f"classifier: {(held_out == labels['test']).float().mean():.1%} right on the held-out digits")
    for name in sets:
        report(name, model[2](features[name]).softmax(dim=1))
    scale = features["held-out real digits"].std()
    for one, other in itertools.combinations(sets, 2):
        mmd, share = two_sample_test(features[one] / scale, features[other] / scale)
        verdict = "can be told apart" if share < 0.05 else "cannot be told apart"
        print(
            f"{one} and {other}: {verdict} (MMD^2 {mmd:.4f}, as much by chance in {share:.1%} of {PERMUTATIONS} divisions)"
        )


if __name__ == "__main__":
    main()
