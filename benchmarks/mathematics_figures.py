"""The figures of docs/mathematics.md, each by its name, or all of them (two minutes).

    python benchmarks/mathematics_figures.py [way] [schedules] [solvers] [guidance]

Writes docs/mathematics_NAME.png. `solvers` and `guidance` know the exact denoiser: one-pixel pictures from a mixture of two
Gaussians. The probability-flow ODE keeps the order of points on a line, so it takes each quantile of the noise to the same
quantile of the data, which is how far a solver is off.
"""

import argparse
import math
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import matplotlib  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from datasets import ImageDataset, to_float  # noqa: E402
from diffusion import GaussianDiffusion, Guidance, SampleInfo, build_diffusion, make_betas, sample  # noqa: E402
from diffusion.schedules import SCHEDULES, SPACINGS, half_log_snr, zero_terminal_snr_betas  # noqa: E402
from interop import open_checkpoint  # noqa: E402
from sampling import load_trained  # noqa: E402
from sampling.network import sampling_network  # noqa: E402
from utils.plots import STYLE, plt, save_plot  # noqa: E402
from utils.seeds import PictureNoise  # noqa: E402

DIGITS = ROOT / "checkpoints" / "mnist_mini.safetensors"
SOLVERS = ("DDIM", "DPMPP", "HEUN", "UNIPC")
CALLS = (5, 7, 11, 15, 21, 31, 51, 101, 201)


class Mixture:
    """The optimal network for one-pixel pictures of two classes, each N(means[y], std^2), alike often; y = 2: of both.

    p(x_t | y) is N(signal mean, signal^2 std^2 + sigma^2), from which follow E[x_0 | x_t, y] by the regression of one Gaussian
    on another, and the classes' probabilities given x_t by Bayes.
    """

    def __init__(self, diffusion: GaussianDiffusion, means: tuple[float, float], std: float):
        self.diffusion, self.means, self.std = diffusion, torch.tensor(means, dtype=torch.float64), std

    def __call__(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        alpha_bar = self.diffusion.alpha_bar(t)  # (B, 1, 1, 1)
        signal, variance = alpha_bar.sqrt(), alpha_bar * self.std**2 + 1 - alpha_bar
        off = x_t - signal * self.means.view(1, 2, 1, 1)  # (B, 2, 1, 1): from each class's mean
        estimates = self.means.view(1, 2, 1, 1) + signal * self.std**2 / variance * off
        weights = (-(off**2) / (2 * variance)).softmax(dim=1)
        if y is not None:
            of_class = torch.nn.functional.one_hot(y, 3)[:, :2].view(-1, 2, 1, 1).to(weights)
            weights = torch.where((y == 2).view(-1, 1, 1, 1), weights, of_class)
        return self.diffusion.output_for((weights * estimates).sum(dim=1, keepdim=True), x_t, t)

    def cdf(self, x: Tensor, t: int) -> Tensor:
        """The share of all x_t below x: (N,) float64; t = -1: of the data."""
        alpha_bar = self.diffusion.alpha_bar(t)
        std = math.sqrt(alpha_bar * self.std**2 + 1 - alpha_bar)
        return torch.special.ndtr((x[:, None] - math.sqrt(alpha_bar) * self.means) / std).mean(dim=1)

    def quantile(self, share: Tensor, t: int) -> Tensor:
        """The x below which lies that share of all x_t, by bisection: the inverse of `cdf`."""
        low, high = torch.full_like(share, -10.0), torch.full_like(share, 10.0)
        for _ in range(60):
            middle = (low + high) / 2
            above = self.cdf(middle, t) > share
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return (low + high) / 2


def density(x: Tensor, mean: float, std: float) -> Tensor:
    return (-((x - mean) ** 2) / (2 * std**2)).exp() / (std * math.sqrt(2 * math.pi))


def exact_diffusion(beta_schedule: str = "cosine", timestep_num: int = 1000) -> GaussianDiffusion:
    return build_diffusion(timestep_num=timestep_num, beta_schedule=beta_schedule, clip_denoised=False)


def way() -> plt.Figure:
    """A digit of the data at ten levels of noise, and a drawn one on its way, each with what the network predicts of it."""
    trained = load_trained(open_checkpoint(DIGITS), DIGITS, torch.device("cpu"), precision="fp32")
    diffusion, info = trained.diffusion, SampleInfo("DDIM", 10, 0.0)
    images, labels = ImageDataset("mnist_mini", image_size=28, image_channel=1).load("test")[:2]
    digit = 3
    row = int((labels == digit).argmax())
    x_0 = to_float(torch.tensor(images[row : row + 1]))
    noise = PictureNoise([0])(x_0)

    def network():
        return sampling_network(trained.network, diffusion, labels=torch.tensor([digit]), num_classes=trained.num_classes)

    forward, backward = [], []
    for t, _ in diffusion.timestep_pairs(info.steps):
        x_t = diffusion.q_sample(x_0, t, noise)
        with torch.no_grad():
            forward.append((t, x_t, diffusion.predict(network()(x_t, torch.tensor([t])), x_t, t).x_0))
    drawn = sample(
        network(), diffusion, noise, info, callback=lambda _, t, __, x_t, said: backward.append((t, x_t, said.x_0))
    )
    rows = [
        ("a held-out digit\n$x_t$", [x_t for _, x_t, _ in forward] + [x_0]),
        ("predicted $x_0$", [predicted for *_, predicted in forward]),
        ("DDIM_10_0p0\n$x_t$", [x_t for _, x_t, _ in backward] + [drawn]),
        ("predicted $x_0$", [predicted for *_, predicted in backward]),
    ]
    times = [t for t, *_ in forward] + [-1]
    figure = plt.figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots(5, len(times), height_ratios=(1, 1, 0.12, 1, 1))  # the third row is a gap
    for cell in axes.flat:
        cell.axis("off")
    for cells, (name, pictures) in zip(axes[[0, 1, 3, 4]], rows):
        for cell, picture in zip(cells, pictures):
            cell.imshow(picture[0, 0].clamp(-1, 1), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        cells[0].text(-0.15, 0.5, name, ha="right", va="center", fontsize=9, transform=cells[0].transAxes)
    for cell, t in zip(axes[0], times):
        cell.set_title(f"t = {t}", fontsize=9)
    return figure


def schedules() -> plt.Figure:
    """The log SNR of each schedule over t; and where ten steps of each spacing lie on the cosine schedule."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", width_ratios=(3, 2))
    for index, name in enumerate(SCHEDULES):
        betas = make_betas(name, 1000)
        log_snr = 2 * half_log_snr(torch.cumprod(1 - betas, dim=0))
        left.plot(range(1000), log_snr, label=name, color=f"C{index}", linewidth=1.5)
    ended = torch.cumprod(1 - zero_terminal_snr_betas(make_betas("linear", 1000)), dim=0)
    left.plot(range(999), 2 * half_log_snr(ended)[:-1], "--", label="linear, zero_terminal_snr", color="C0", linewidth=1)
    left.set(xlabel="t", ylabel=r"log SNR $= 2\lambda_t$", title="How the schedules add noise, T = 1000", ylim=(-21, 15))
    left.legend(frameon=False, fontsize=8, loc="lower left")
    diffusion = exact_diffusion()
    for row, spacing in enumerate(SPACINGS):
        times = [t for t, _ in diffusion.timestep_pairs(10, spacing)]
        right.plot(times, [row] * len(times), "o", color=f"C{row}", markersize=5)
    right.set(xlabel="t", title="Ten steps on the cosine schedule", yticks=range(len(SPACINGS)), yticklabels=SPACINGS)
    right.set_ylim(len(SPACINGS) - 0.5, -0.5)
    return figure


def solver_steps(solver: str, calls: int) -> int:
    return (calls + 1) // 2 if solver == "HEUN" else calls


def exact_errors() -> dict[str, list[float]]:
    """How far each solver ends from the ODE's end, for each of CALLS: root mean square over 100 quantiles, in float64.

    The steps are even in lambda, and T is so large that they can be: only then does a solver show its order.
    """
    diffusion = exact_diffusion("linear", 20_000)
    mixture = Mixture(diffusion, (-0.5, 0.5), 0.2)
    share = (torch.arange(100, dtype=torch.float64) + 0.5) / 100
    x_T, wanted = mixture.quantile(share, diffusion.timestep_num - 1).view(-1, 1, 1, 1), mixture.quantile(share, -1)
    steps = {solver_steps(solver, calls) for solver in SOLVERS for calls in CALLS}
    pairs = {count: diffusion.timestep_pairs(count, "logsnr") for count in steps}

    def error(solver: str, count: int) -> float:
        ends = sample(mixture, diffusion, x_T, SampleInfo(solver, count, 0.0), pairs=pairs[count])
        return (ends.flatten() - wanted).square().mean().sqrt().item()

    return {solver: [error(solver, solver_steps(solver, calls)) for calls in CALLS] for solver in SOLVERS}


def digit_errors() -> dict[str, list[float]]:
    """The same of the shipped digits, from HEUN_250: sixteen pictures of one noise, in fp32, of [-1, 1]."""
    trained = load_trained(open_checkpoint(DIGITS), DIGITS, torch.device("cpu"), precision="fp32")
    seeds = range(16)
    labels = torch.tensor(trained.labels_of(seeds))
    network = sampling_network(trained.network, trained.diffusion, labels=labels, num_classes=trained.num_classes)
    x_T = PictureNoise(seeds)(torch.empty(16, *trained.shape))

    def ends(solver: str, calls: int) -> Tensor:
        return sample(network, trained.diffusion, x_T, SampleInfo(solver, solver_steps(solver, calls), 0.0))

    reference = ends("HEUN", 499)
    return {
        solver: [(ends(solver, calls) - reference).square().mean().sqrt().item() for calls in CALLS]
        for solver in SOLVERS
    }


def solvers() -> plt.Figure:
    """What a network call buys: the error of each solver, on the exact mixture and on the digits."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, errors in zip(axes, (exact_errors(), digit_errors())):
        for index, solver in enumerate(SOLVERS):
            style = {"color": f"C{index}", "marker": "o", "markersize": 3.5, "linewidth": 1.2}
            axis.loglog(CALLS, errors[solver], label=solver, **style)
        axis.set_xlabel("network calls")
        axis.legend(frameon=False, fontsize=8, loc="lower left")
    for order, first, last, start in ((1, 60, 240, 0.03), (2, 60, 240, 0.0075), (3, 20, 60, 0.006)):
        end = start * (first / last) ** order
        axes[0].plot((first, last), (start, end), "k:", linewidth=1)
        axes[0].text(last * 1.06, end, f"order {order}", fontsize=8, va="center")
    for axis in axes:
        axis.set_xticks((5, 10, 20, 50, 100, 200), labels=("5", "10", "20", "50", "100", "200"))
        axis.minorticks_off()
    axes[0].set(title="Exact network, steps even in $\\lambda$", ylabel="RMS distance from the ODE's end", xlim=(4.4, 420))
    axes[1].set(title="Shipped digits, uniform steps", ylabel="RMS distance from HEUN_250_0p0")
    return figure


def guidance() -> plt.Figure:
    """What guidance draws of the left class of two, by scale, beside the density that its formula is often taken to mean."""
    diffusion, means, std = exact_diffusion(), (-0.4, 0.4), 0.3
    mixture = Mixture(diffusion, means, std)
    x = torch.linspace(-2.2, 1.6, 800, dtype=torch.float64)
    of_class, of_all = density(x, means[0], std), (density(x, means[0], std) + density(x, means[1], std)) / 2
    share = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    x_T = torch.special.ndtri(share).view(-1, 1, 1, 1)
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.1), layout="constrained", sharex=True, sharey=True)
    for axis, scale in zip(axes, (1.0, 2.0, 4.0)):
        info = SampleInfo("DPMPP", 200, 0.0, guidance=Guidance(scale))
        labels = torch.zeros(len(x_T), dtype=torch.long)
        network = sampling_network(mixture, diffusion, labels=labels, num_classes=2, guidance=info.guidance)
        drawn = sample(network, diffusion, x_T, info).flatten()
        tilted = of_class**scale * of_all ** (1 - scale)
        axis.hist(drawn.numpy(), bins=80, range=(-2.2, 1.6), density=True, color="C0", alpha=0.45, label="drawn")
        axis.plot(x, of_all, color="0.55", linewidth=1, label="both classes")
        axis.plot(x, of_class, color="k", linewidth=1, label="the class asked for")
        axis.plot(x, tilted / torch.trapezoid(tilted, x), "C3--", linewidth=1.2, label=r"$p(x|y)^s\,p(x)^{1-s}$, scaled")
        axis.set(title=f"s = {scale:g}: mean {drawn.mean():.2f}, std {drawn.std():.2f}", xlabel="$x_0$")
    axes[0].set_ylabel("density")
    axes[0].legend(frameon=False, fontsize=8, loc="upper right")
    return figure


FIGURES = {"way": way, "schedules": schedules, "solvers": solvers, "guidance": guidance}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="of " + ", ".join(FIGURES), metavar="NAME")
    names = parser.parse_args().names or list(FIGURES)
    if unknown := [name for name in names if name not in FIGURES]:
        parser.error(f"no figure {unknown[0]!r}; the figures are {', '.join(FIGURES)}")
    for name in names:
        with matplotlib.rc_context(STYLE):
            figure = FIGURES[name]()
        command = f"python benchmarks/mathematics_figures.py {name}"
        print(save_plot(ROOT / "docs" / f"mathematics_{name}.png", figure, {"command": command}), flush=True)
        plt.close(figure)


if __name__ == "__main__":
    main()
