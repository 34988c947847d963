"""Why a DDPM of few steps is often noise: the posterior of a single step, taken at strided times. Beside the right one.

    python benchmarks/experiments/mistake.py checkpoints/mnist_mini.safetensors FOLDER

Writes mistake.png, and figures of both to mistake.json.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import torch  # noqa: E402

from datasets import to_uint8  # noqa: E402
from diffusion import GaussianDiffusion, SampleInfo  # noqa: E402
from evaluation.appearance import appearance  # noqa: E402
from evaluation.sheets import Sheet, labelled_grid  # noqa: E402
from sampling import load_trained  # noqa: E402
from sampling.drawing import draw  # noqa: E402
from sampling.network import sampling_network  # noqa: E402
from utils.checkpoints import load_checkpoint  # noqa: E402
from utils.files import atomic_write  # noqa: E402
from utils.pictures import grid, near_square, save_png  # noqa: E402
from utils.seeds import PictureNoise  # noqa: E402

STEPS = (50, 100, 200)
PICTURES = 16


@torch.no_grad()
def wrong_ddpm(network, diffusion: GaussianDiffusion, x: torch.Tensor, steps: int, noise_like) -> torch.Tensor:
    """DDPM Algorithm 2 as it must not be strided: the mean and variance are those of t -> t - 1, yet x is then taken for
    x_{t_prev}. A step removes 1 step's noise where it should remove T / S, and the rest stays."""
    for t, t_prev in diffusion.timestep_pairs(steps):
        output = network(x, torch.full((len(x),), t, device=x.device))
        mean, _ = diffusion.posterior(diffusion.predict(output, x, t).x_0, x, t, t - 1)
        x = mean if t_prev < 0 else mean + (0.5 * diffusion.log_variance(output, t, t - 1)).exp() * noise_like(x)
    return x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model_path", metavar="FILE")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trained = load_trained(load_checkpoint(args.model_path), args.model_path, device)
    diffusion, seeds = trained.diffusion, list(range(PICTURES))
    sheets, figures = [], {}
    for steps in STEPS:
        noise = PictureNoise(seeds)
        x_T = noise(torch.empty(PICTURES, *trained.shape, device=device))
        network = sampling_network(trained.network, diffusion)
        wrong = to_uint8(wrong_ddpm(network, diffusion, x_T, steps, noise)).cpu()
        right = draw(trained.network, diffusion, SampleInfo("DDPM", steps, 0.0), seeds, trained.shape, device)
        for name, pictures in (("posterior of one step", wrong), ("posterior of the jump", right)):
            figures[f"{name}, {steps} steps"] = appearance(pictures)
            sheets.append(Sheet(trained.name, name, str(steps), grid(pictures, near_square(PICTURES))))
            print(f"{name}, {steps} steps: grain {figures[f'{name}, {steps} steps']['grain']:.4f}", flush=True)
    save_png(args.folder / "mistake.png", labelled_grid(sheets, len(STEPS)))
    with atomic_write(args.folder / "mistake.json") as temporary:
        temporary.write_text(json.dumps({"pictures": PICTURES, "figures": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
