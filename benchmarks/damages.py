"""What the figures of `--test_mode evaluate` say of real pictures that were damaged: blurred, and with noise.

    python benchmarks/damages.py                       # Emoji, 500 pictures
    python benchmarks/damages.py --data_name Cifar10

A KID by itself says little; beside those of damages that one can imagine it has a scale. The pictures are those of evaluate's
floor, as many of the held-out ones (of a half, where the set has no test split), by the same seed. They are compared with the
set's others in the same extractor's features, as they are, resized to 16 pixels and back, and with Gaussian noise. FID is
left out, as in evaluate, where there are no more pictures than features.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.side_by_side import parser, write_result  # noqa: E402
from datasets import ImageDataset  # noqa: E402
from evaluation.extractor import Extractor, as_tensor, extractor_for, load_extractor  # noqa: E402
from evaluation.measures import measure  # noqa: E402
from evaluation.reference import RealPictures, load_reference  # noqa: E402
from utils.config import load_settings  # noqa: E402

SIDE = 16  # pixels
NOISES = (5, 10)  # standard deviations, of 255 grey levels
FIGURES = ("fid", "kid", "precision", "recall")


def blurred(pictures: Tensor, side: int = SIDE) -> Tensor:
    """uint8 (N, C, H, W), resized to `side` x `side` pixels and back, each pixel a mean of those that it stands for."""
    small = F.interpolate(pictures.float(), (side, side), mode="bilinear", antialias=True)
    back = F.interpolate(small, pictures.shape[2:], mode="bilinear", antialias=True)
    return back.round().clamp(0, 255).byte()


def noisy(pictures: Tensor, std: float, seed: int = 0) -> Tensor:
    """uint8 (N, C, H, W) with Gaussian noise of `std` grey levels, rounded, and clipped at black and white."""
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(seed))
    return (pictures + std * noise).round().clamp(0, 255).byte()


DAMAGES: dict[str, Callable[[Tensor], Tensor]] = {
    f"resized to {SIDE} pixels and back": blurred,
    **{f"noise of {std} grey levels": lambda pictures, std=std: noisy(pictures, std) for std in NOISES},
}


def damage_rows(some: RealPictures, others: RealPictures, extractor: Extractor, seed: int) -> list[dict[str, object]]:
    """The figures of `some` real pictures compared with `others`, as they are and after each damage: a row for each."""
    pictures = as_tensor(some.pictures)
    rows = []
    for name in ("none", *DAMAGES):
        features = extractor(DAMAGES[name](pictures)) if name in DAMAGES else some.features
        found = measure(features, others.features, extractor, seed=seed)
        rows.append({"damage": name, **{figure: found[figure] for figure in FIGURES if figure in found}})
        print(rows[-1], flush=True)
    return rows


def main(args: argparse.Namespace) -> None:
    data = ImageDataset(**load_settings("config.yaml", args.data_name).data.model_dump())
    extractor = load_extractor(extractor_for(data.source), device=args.device)
    reference = load_reference(data, "train", extractor, seed=args.seed)
    some, others = reference.held_out_part(args.pictures, args.seed), reference.held_out_reference
    rows = damage_rows(some, others, extractor, args.seed)
    args.result = f"damages_{args.data_name.lower()}"
    counts = {"pictures": len(some.pictures), "compared_with": len(others.pictures)}
    write_result(args, rows, extractor=str(extractor), of=some.name, others=others.name, **counts)


if __name__ == "__main__":
    options = parser(__doc__, "damages_DATA")
    options.add_argument("--data_name", default="Emoji", help="an entry of config.yaml")
    options.add_argument("--pictures", type=int, default=500, metavar="N", help="how many are damaged")
    options.add_argument("--seed", type=int, default=0, help="chooses them, as evaluate's --seed does")
    main(options.parse_args())
