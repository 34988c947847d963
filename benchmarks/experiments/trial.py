"""One training of the study and what is drawn from it: trained as train_solver.py does, drawn as test_solver.py does."""

import contextlib
import statistics
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

import train_solver
from benchmarks.experiments.cells import Cell, Drawing
from benchmarks.experiments.mistake import wrong_ddpm
from benchmarks.experiments.study import Study
from datasets import ImageDataset, to_uint8
from diffusion import SampleInfo
from evaluation.appearance import CHANNELS, appearance
from evaluation.drawn import draw_pictures, network_calls
from evaluation.extractor import Extractor, Features, extractor_for, load_extractor
from evaluation.frechet import ReferenceRoot
from evaluation.measures import CONFIDENT
from evaluation.reference import Reference, load_reference
from sampling import Trained, load_trained
from sampling.drawing import Frames, batches_of, draw
from sampling.interpolation import changes, interpolate, pick
from sampling.network import sampling_network
from sampling.schedule import tune
from utils.checkpoints import STATE_FILE, WEIGHTS_FILE, add_tuned_times, load_checkpoint
from utils.command_line import parse_args
from utils.config import load_settings
from utils.device import pick_device
from utils.seeds import PictureNoise

Figures = dict[str, float]
PAIRS = 10  # of an interpolation
COEFFICIENTS = tuple(k / 10 for k in range(11))
LEARNED_FROM = 32  # pictures, of timesteps


def run_folder(study: Study, runs: Path, data_name: str, variant: str, seed: int) -> Path:
    """Where a training is kept; a checkpoint is a file, or a copy of this very file with learned timesteps."""
    data = study.data[data_name]
    if data.checkpoint is None:
        return runs / data_name / f"{variant}_{seed}"
    if not data.tuned:
        return Path(data.checkpoint)
    return runs / data_name / f"{study.design_of(data_name)['sha256']}.safetensors"


def train(study: Study, path: Path, data_name: str, variant: str, seed: int) -> float:
    """Trains into the folder `path`, or goes on, until all steps are done. Of a checkpoint, learns the timesteps that are asked
    for. The process's seconds that it took; 0 if there was nothing to do.

    What it prints is kept beside the weights, in output.txt. SystemExit if it was stopped.
    """
    data, is_folder = study.data[data_name], study.data[data_name].checkpoint is None
    weights = path / WEIGHTS_FILE if is_folder else path
    if weights.is_file() and (not is_folder or load_checkpoint(weights).step >= data.steps):
        return 0.0
    weights.parent.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    with open(weights.with_name("output.txt"), "a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        if is_folder:
            settings = [word for setting in study.settings_of(data_name, variant) for word in ("--set", setting)]
            args = ["--data_name", study.entry_of(data_name), "--save_dir", str(path), "--seed", str(seed), *settings]
            status = train_solver.main(parse_args(args))
        else:
            learn_timesteps(Path(data.checkpoint), data.tuned, weights)
            status = 0
    if status:
        raise SystemExit(status)
    return time.process_time() - start


def learn_timesteps(checkpoint: Path, samplers: Sequence[str], out: Path) -> None:
    """Writes the checkpoint to `out`, with timesteps learned for these samplers, as `python -m sampling.schedule` does."""
    trained = load_trained(load_checkpoint(checkpoint), checkpoint, pick_device("auto"))
    infos = [SampleInfo.parse(sampler) for sampler in samplers]
    add_tuned_times(checkpoint, {info.tuned_for: tune(trained, info, LEARNED_FROM) for info in infos}, out)


def load(folder: Path, drawing: Drawing) -> Trained:
    """The network of a training's folder, or of a checkpoint, as the drawing wants it."""
    path = folder if folder.is_file() else folder / (WEIGHTS_FILE if drawing.weights == "ema" else STATE_FILE)
    clip = None if drawing.clip else False
    return load_trained(load_checkpoint(path, drawing.weights), path, pick_device("auto"), clip_denoised=clip)


def pictures_of(trained: Trained, drawing: Drawing, seeds: range) -> Tensor:
    """A picture a seed: uint8 (N, C, H, W)."""
    info = SampleInfo.parse(drawing.sampler)
    if drawing.way == "draw":
        return draw_pictures(trained, info, seeds).pictures
    labels = trained.labels_of(seeds)
    labels = None if labels is None else torch.tensor(labels, device=trained.device)
    noise = PictureNoise(seeds)
    x_T = noise(torch.empty(len(seeds), *trained.shape, device=trained.device))
    network = sampling_network(trained.network, trained.diffusion, labels=labels, num_classes=trained.num_classes)
    return to_uint8(wrong_ddpm(network, trained.diffusion, x_T, info.steps, noise)).cpu()


def between(trained: Trained, drawing: Drawing, seeds: range, entry: str) -> Tensor:
    """The PAIRS interpolations of a training, its pairs chosen by the first of its pictures' seeds:
    uint8 (11, PAIRS, C, H, W)."""
    seeds = seeds[:PAIRS]
    data = dataset_of(entry).load()
    chosen = pick(len(data.images), seeds, 2).numpy()
    first, second = torch.from_numpy(data.images[chosen])
    T = trained.diffusion.timestep_num
    return interpolate(
        trained.network, trained.diffusion, SampleInfo.parse(drawing.sampler), first, second, mode=drawing.way, seeds=seeds,
        coefficients=COEFFICIENTS, noise_steps=T if drawing.way == "ddim" else T // 2, batch_size=trained.batch_size,
        device=trained.device, advance=lambda count: None,
        labels=tuple(torch.from_numpy(data.labels[chosen])) if trained.num_classes else None, num_classes=trained.num_classes,
    )  # fmt: skip


def way_of(trained: Trained, drawing: Drawing, seeds: range) -> Tensor:
    """The noise, what half of the steps make of it, and a picture a seed: uint8 (3, N, C, H, W)."""
    info = SampleInfo.parse(drawing.sampler)
    frames = Frames([0, info.steps // 2, info.steps], len(seeds))
    for part in batches_of(seeds, trained.batch_size):
        asked = {"labels": trained.labels_of(part), "num_classes": trained.num_classes}
        frames.finish(
            draw(trained.network, trained.diffusion, info, part, trained.shape, trained.device, frames, **asked)
        )
    return torch.stack(frames.pictures())


@cache
def dataset_of(entry: str) -> ImageDataset:
    """The pictures of an entry of config.yaml."""
    return ImageDataset(**load_settings("config.yaml", entry).data.model_dump())


class Judge:
    """Measures the pictures of an entry of config.yaml by the extractor that suits it."""

    def __init__(self, entry: str):
        data = dataset_of(entry)
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


def trial(study: Study, data_name: str, cell: Cell, seed: int, path: Path, judge: Judge) -> tuple[Figures, Tensor]:
    """The figures of a cell's pictures of training `seed`, which is done and lies at `path`, and the first of them to look
    at, (N, C, H, W). Of drawn pictures also the `calls` of the network and the process's `seconds` for one."""
    drawing, seeds = cell.drawing, study.seeds_of(data_name, seed)
    trained = load(path, drawing)
    if drawing.way == "half_way":
        pictures = way_of(trained, drawing, seeds)
        return left_half_way(pictures), pictures[:, :6].flatten(0, 1)
    if not drawing.is_drawn:
        pictures = between(trained, drawing, seeds, study.entry_of(data_name))
        return jump_figures(pictures), pictures[:, :6].flatten(0, 1)
    start = time.process_time()
    pictures = pictures_of(trained, drawing, seeds)
    seconds, calls = time.process_time() - start, network_calls(trained, SampleInfo.parse(drawing.sampler))
    return judge.figures(pictures) | {"seconds": seconds / len(seeds), "calls": calls}, pictures[:16]
