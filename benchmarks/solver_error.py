"""How far the fast samplers land from where the probability-flow ODE leads: the shipped digits, the same noise for all.

    python benchmarks/solver_error.py

Prints, for each solver and number of network calls, the root mean square difference (of 0 to 1) from HEUN_250, which stands for
the ODE's own solution. UniPC is measured at order 2 and 3; samplers.UNIPC_ORDER is the better.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import torch  # noqa: E402

from diffusion import SampleInfo, build_diffusion, samplers  # noqa: E402
from models import build_model  # noqa: E402
from sampling.drawing import draw  # noqa: E402
from utils.checkpoints import load_checkpoint  # noqa: E402
from utils.untrusted import load_weights  # noqa: E402

PICTURES = 16
CALLS = (5, 8, 10, 15, 20, 50)


def main() -> None:
    path = ROOT / "checkpoints" / "mnist_mini.safetensors"
    checkpoint = load_checkpoint(path)
    model = build_model(**checkpoint.settings.model_arguments()).eval()
    load_weights(model, checkpoint.state_dict, path)
    diffusion = build_diffusion(**checkpoint.settings.diffusion.model_dump())

    def pictures(text: str) -> torch.Tensor:
        drawn = draw(model, diffusion, SampleInfo.parse(text), range(PICTURES), (1, 28, 28), torch.device("cpu"))
        return drawn.float() / 255

    reference = pictures("HEUN_250_0p0")
    print(f"{'network calls':24s}" + "".join(f"{calls:>8d}" for calls in CALLS))
    for method, order in (("DDIM", 0), ("DPMPP", 0), ("HEUN", 0), ("UNIPC", 2), ("UNIPC", 3)):
        for spacing in ("uniform", "quad", "logsnr"):
            samplers.UNIPC_ORDER = order or samplers.UNIPC_ORDER
            steps = [(calls + 1) // 2 if method == "HEUN" else calls for calls in CALLS]
            texts = [f"{method}_{count}_0p0_{spacing}" for count in steps]
            errors = [(pictures(text) - reference).square().mean().sqrt().item() for text in texts]
            name = f"{method} {order} {spacing}" if order else f"{method} {spacing}"
            print(f"{name:24s}" + "".join(f"{error:8.4f}" for error in errors), flush=True)


if __name__ == "__main__":
    main()
