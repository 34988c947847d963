"""One training of the study and what is drawn from it: trained as train_solver.py does, drawn as test_solver.py does."""

import contextlib
import statistics
import time
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

import train_solver
from benchmarks.experiments.cells import Cell, Drawing
from benchmarks.experiments.mistake import wrong_ddpm
from benchmarks.experiments.table import DATA, PAIRS, PICTURES, SEEDS_APART, settings_of
from datasets import ImageDataset, to_uint8
from diffusion import SampleInfo
from evaluation.appearance import CHANNELS, appearance
from evaluation.drawn import draw_pictures
from evaluation.extractor import Extractor, Features, extractor_for, load_extractor
from evaluation.frechet import ReferenceRoot
from evaluation.measures import CONFIDENT
from evaluation.reference import Reference, load_reference
from sampling import Trained, load_trained
from sampling.drawing import Frames, batches_of, draw
from sampling.interpolation import changes, interpolate, pick
from sampling.network import sampling_network
from utils.checkpoints import STATE_FILE, WEIGHTS_FILE, load_checkpoint
from utils.command_line import parse_args
from utils.config import load_settings
from utils.device import pick_device
from utils.seeds import PictureNoise

Figures = dict[str, float]
COEFFICIENTS = tuple(k / 10 for k in range(11))


def run_folder(runs: Path, data_name: str, variant: str, seed: int) -> Path:
    """Where a training is kept; a checkpoint is a file."""
    checkpoint = DATA[data_name].checkpoint
    return Path(checkpoint) if checkpoint else runs / data_name / f"{variant}_{seed}"


def train(folder: Path, data_name: str, variant: str, seed: int) -> float:
    """Trains, or goes on, until all steps are done. The process's seconds that it took; 0 if there was nothing to train.

    What it prints is kept in the folder's output.txt. SystemExit if it was stopped.
    """
    if DATA[data_name].checkpoint is not None:
        return 0.0
    weights = folder / WEIGHTS_FILE
    if weights.is_file() and load_checkpoint(weights).step >= DATA[data_name].steps:
        return 0.0
    folder.mkdir(parents=True, exist_ok=True)
    settings = [word for setting in settings_of(data_name, variant) for word in ("--set", setting)]
    args = parse_args(["--data_name", data_name, "--save_dir", str(folder), "--seed", str(seed), *settings])
    start = time.process_time()
    with open(folder / "output.txt", "a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        status = train_solver.main(args)
    if status:
        raise SystemExit(status)
    return time.process_time() - start


def load(folder: Path, drawing: Drawing) -> Trained:
    """The network of a training's folder, or of a checkpoint, as the drawing wants it."""
    path = folder if folder.is_file() else folder / (WEIGHTS_FILE if drawing.weights == "ema" else STATE_FILE)
    clip = None if drawing.clip else False
    return load_trained(load_checkpoint(path, drawing.weights), path, pick_device("auto"), clip_denoised=clip)


def pictures_of(trained: Trained, drawing: Drawing, seed: int) -> Tensor:
    """The PICTURES that training `seed` draws: uint8 (N, C, H, W)."""
    seeds, info = range(seed * SEEDS_APART, seed * SEEDS_APART + PICTURES), SampleInfo.parse(drawing.sampler)
    if drawing.way == "draw":
        return draw_pictures(trained, info, seeds).pictures
    labels = trained.labels_of(seeds)
    labels = None if labels is None else torch.tensor(labels, device=trained.device)
    noise = PictureNoise(seeds)
    x_T = noise(torch.empty(len(seeds), *trained.shape, device=trained.device))
    network = sampling_network(trained.network, trained.diffusion, labels=labels, num_classes=trained.num_classes)
    return to_uint8(wrong_ddpm(network, trained.diffusion, x_T, info.steps, noise)).cpu()


def between(trained: Trained, drawing: Drawing, seed: int, data_name: str) -> Tensor:
    """The PAIRS interpolations of training `seed`, its pairs chosen by its pictures' seeds: uint8 (11, PAIRS, C, H, W)."""
    seeds = range(seed * SEEDS_APART, seed * SEEDS_APART + PAIRS)
    data = dataset_of(data_name).load()
    chosen = pick(len(data.images), seeds, 2).numpy()
    first, second = torch.from_numpy(data.images[chosen])
    T = trained.diffusion.timestep_num
    return interpolate(
        trained.network, trained.diffusion, SampleInfo.parse(drawing.sampler), first, second, mode=drawing.way, seeds=seeds,
        coefficients=COEFFICIENTS, noise_steps=T if drawing.way == "ddim" else T // 2, batch_size=trained.batch_size,
        device=trained.device, advance=lambda count: None,
        labels=tuple(torch.from_numpy(data.labels[chosen])) if trained.num_classes else None, num_classes=trained.num_classes,
    )  # fmt: skip


def way_of(trained: Trained, drawing: Drawing, seed: int) -> Tensor:
    """The noise, what half of the steps make of it, and the PICTURES that training `seed` draws: uint8 (3, N, C, H, W)."""
    seeds, info = range(seed * SEEDS_APART, seed * SEEDS_APART + PICTURES), SampleInfo.parse(drawing.sampler)
    frames = Frames([0, info.steps // 2, info.steps], PICTURES)
    for part in batches_of(seeds, trained.batch_size):
        asked = {"labels": trained.labels_of(part), "num_classes": trained.num_classes}
        frames.finish(
            draw(trained.network, trained.diffusion, info, part, trained.shape, trained.device, frames, **asked)
        )
    return torch.stack(frames.pictures())


@cache
def dataset_of(data_name: str) -> ImageDataset:
    """The pictures of the entry of config.yaml."""
    return ImageDataset(**load_settings("config.yaml", DATA[data_name].entry or data_name).data.model_dump())


class Judge:
    """Measures the pictures of one data set by the extractor that suits it."""

    def __init__(self, data_name: str):
        data = dataset_of(data_name)
        self.extractor: Extractor = load_extractor(extractor_for(data.source))
        self.reference: Reference = load_reference(data, "train", self.extractor)

    def real(self) -> Figures:
        """What held-out real pictures give, all of them: the floor."""
        pictures, beside = self.reference.held_out, self.reference.held_out_reference
        return self._figures(torch.from_numpy(pictures.pictures.copy()), pictures.features, beside.features)

    def figures(self, pictures: Tensor) -> Figures:
        """Of uint8 pictures (N, C, H, W): kid, fid and confident (of digits), and their appearance."""
        return self._figures(pictures, self.extractor(pictures), self.reference.real.features)

    def _figures(self, pictures: Tensor, found: Features, real: Features) -> Figures:
        figures = {"kid": kernel_distance(found.features, real.features)}
        if self.extractor.is_classifier:
            figures["fid"] = ReferenceRoot(real.features).distance(found.features.double())
            sure = found.logits.softmax(dim=1).amax(dim=1) > CONFIDENT
            figures["confident"] = sure.double().mean().item()
        figures |= appearance(pictures)
        channels = CHANNELS[pictures.shape[1]]
        return figures | {"light": statistics.fmean(figures[name] for name in channels)}


def kernel_distance(drawn: Tensor, real: Tensor) -> float:
    """KID (Binkowski et al. 2018): the unbiased squared MMD of features (N, D) and (M, D), kernel (x y / D + 1)^3.

    Of all of them at once: torch-fidelity's KID is the mean of this over subsets, and so has the same expectation.
    """
    x, y = drawn.double(), real.double()
    n, m = len(x), len(y)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        return kernel(a, a).sum() - ((a * a).sum(dim=1) / a.shape[1] + 1).pow(3).sum()

    return (within(x) / (n * (n - 1)) + within(y) / (m * (m - 1)) - 2 * kernel(x, y).mean()).item()


def jump_figures(pictures: Tensor) -> Figures:
    """How evenly interpolations (R, N, C, H, W) change: the mean change from one to the next, the largest, and their ratio."""
    change = changes(pictures)
    mean, largest = change.mean().item(), change.amax(dim=0).mean().item()
    return {"mean_change": mean, "largest_change": largest, "jump": largest / mean}


def left_half_way(pictures: Tensor) -> Figures:
    """The distance of what is shown half-way (root mean square) from the finished picture, as a share of the noise's own:
    (3, N, C, H, W), as of `way_of`."""
    noise, half, finished = pictures.float()
    return {"left": ((half - finished).square().mean() / (noise - finished).square().mean()).sqrt().item()}


def trial(runs: Path, data_name: str, cell: Cell, seed: int, judge: Judge) -> tuple[Figures, Tensor]:
    """The figures of a cell's pictures of training `seed`, which is done, and the first of them to look at, (N, C, H, W)."""
    drawing = cell.drawing
    trained = load(run_folder(runs, data_name, cell.variant, seed), drawing)
    if drawing.way == "half_way":
        pictures = way_of(trained, drawing, seed)
        return left_half_way(pictures), pictures[:, :6].flatten(0, 1)
    if not drawing.is_drawn:
        pictures = between(trained, drawing, seed, data_name)
        return jump_figures(pictures), pictures[:, :6].flatten(0, 1)
    pictures = pictures_of(trained, drawing, seed)
    return judge.figures(pictures), pictures[:16]
