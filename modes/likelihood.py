"""`likelihood`: bits a dimension of real pictures, by the variational bound."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluation.likelihood import Bound, make_strata, variational_bound
from evaluation.record import is_same_request, model_record, save_json
from modes.model import Model
from modes.real_data import data_words, given_options, load_split, real_data
from sampling.drawing import batches_of
from sampling.real_labels import labels_of
from sampling.trained import Trained, check_reversible
from utils.bars import progress_bar
from utils.distributed import Ranks, share_out
from utils.errors import RequestError
from utils.files import keep_other
from utils.plots import Figure, save_plot

STEPS = 100  # timesteps for each picture, unless --likelihood_steps says otherwise
PICTURES = 64  # unless --sample_num says otherwise


def run(
    model: Model,
    *,
    seed: int,
    save_dir: str,
    sample_num: int | None,
    batch_size: int | None,
    data_name: str | None,
    data_path: str | None,
    config: str | None,
    split: str | None,
    likelihood_steps: int | None,
    ranks: Ranks,
) -> list[Path]:
    """The bound for `sample_num` pictures of the test split: its mean, its parts, and as a plot what each t adds to it.

    Of the training's own chain: no sampler is asked for. The ranks share the pictures out.
    """
    trained = model.trained
    check_reversible(trained, None, "--test_mode likelihood")
    timestep_num = trained.diffusion.timestep_num
    if timestep_num < 3 or (likelihood_steps or 2) > timestep_num:
        raise RequestError(f"--likelihood_steps {likelihood_steps}: the model knows {timestep_num} steps of noise")
    steps = min(likelihood_steps or STEPS, timestep_num)
    strata = make_strata(timestep_num, steps - 1)  # and t = 0
    data, split = real_data(model.settings, data_name, data_path, config), split or "test"
    loaded = load_split(data, split, sample_num or 1)
    images = loaded.images
    count = sample_num or min(PICTURES, len(images))
    words = data_words(model.settings, data_name, data_path, config)
    prefix = Path(save_dir).absolute() / "_".join([trained.name, "likelihood", *words])
    paths = [Path(f"{prefix}.{kind}") for kind in ("json", "png")]
    exact = "each of them" if steps == timestep_num else f"{steps} of them, drawn by strata: unbiased"
    print(f"Measures: {count:,} of the {len(images):,} pictures of {data.source}, {split} split")
    print(
        f"Bound:    {timestep_num:,} timesteps, {exact}; variance {trained.diffusion.variance}, {trained.weights} weights"
    )
    print(f"Output:   {', '.join(map(str, paths))}", flush=True)

    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    pictures, labels = torch.from_numpy(images[chosen]), labels_of(trained, loaded, chosen)
    bound = _bound(trained, pictures, labels, seed, batch_size or trained.batch_size, strata, ranks)
    if not ranks.is_main:
        return []
    record: dict[str, Any] = model_record(trained)
    record["protocol"] = {
        "pictures": count, "data": data.source, "split": split, "seed": seed, "timesteps": timestep_num,
        "timesteps_a_picture": steps, "variance": trained.diffusion.variance, "clipped": trained.diffusion.clip_denoised,
        "strata": [[stratum.start, stratum.stop - 1] for stratum in strata],
    }  # fmt: skip
    record["real_pictures"] = given_options(data_name, data_path, config)
    record["bits_per_dimension"] = _figures(bound)
    _print(record["bits_per_dimension"], count, split)
    keep_other(paths, is_same_request(paths[0], record))
    title = f"{trained.name}: {count:,} pictures, {split} split"
    return [save_json(paths[0], record), _plot(paths[1], bound, title, {"command": record["command"]})]


def _bound(
    trained: Trained,
    pictures: Tensor,
    labels: Tensor | None,
    seed: int,
    batch_size: int,
    strata: list[range],
    ranks: Ranks,
) -> Bound:
    """The bound of uint8 pictures (N, C, H, W), in batches, with a bar; picture i's draws are those of seed + i."""
    total = len(pictures) * (1 + len(strata)) // ranks.size
    with progress_bar(total, "call", visible=ranks.is_main) as bar:

        def bound_of(batch: range) -> Bound:
            seeds = range(seed + batch.start, seed + batch.stop)
            part = pictures[batch.start : batch.stop]
            own = None if labels is None else labels[batch.start : batch.stop]
            return variational_bound(
                trained.network, trained.diffusion, part, seeds, strata, trained.device, bar.update, own
            )

        bounds = share_out(ranks, list(batches_of(range(len(pictures)), batch_size)), bound_of)
    return Bound(*(torch.cat(parts) for parts in list(zip(*bounds))[:3]), strata)


def _figures(bound: Bound) -> dict[str, Any]:
    """The mean over the pictures with its standard error and standard deviation, the parts, and by stratum the terms
    and what they add: each times its stratum's width."""
    totals = bound.totals()
    several = len(totals) > 1
    return {
        "mean": totals.mean().item(),
        "standard_error": (totals.std() / len(totals) ** 0.5).item() if several else None,
        "std_over_pictures": totals.std().item() if several else None,
        "quantiles": {f"{q:.0%}": totals.quantile(q).item() for q in (0.05, 0.5, 0.95)},
        "decoder": bound.decoder.mean().item(),
        "prior": bound.prior.mean().item(),
        "divergences": (totals - bound.decoder - bound.prior).mean().item(),
        "terms": bound.terms.mean(dim=0).tolist(),
        "contributions": bound.contributions().mean(dim=0).tolist(),
    }


def _print(found: dict[str, Any], count: int, split: str) -> None:
    error = "" if found["standard_error"] is None else f" ± {found['standard_error']:.4f} (standard error)"
    print(f"At most {found['mean']:.4f}{error} bits a dimension: {count:,} pictures of the {split} split")
    if found["std_over_pictures"] is not None:
        quantiles = ", ".join(f"{q} {value:.4f}" for q, value in found["quantiles"].items())
        print(f"  over the pictures: standard deviation {found['std_over_pictures']:.4f}, quantiles {quantiles}")
    print(
        f"  t = 0 (the grey values) {found['decoder']:.4f}, the steps from T - 1 to 1 {found['divergences']:.4f}, "
        f"the prior {found['prior']:.2g}"
    )


def _plot(path: Path, bound: Bound, title: str, texts: dict[str, str]) -> Path:
    """What the timesteps add to the bound, each stratum weighted by its width, with the standard deviation over pictures."""
    edges = [bound.strata[0].start, *(stratum.stop for stratum in bound.strata)]
    mean, std = bound.density().mean(dim=0), bound.density().std(dim=0, correction=0)
    figure = Figure(figsize=(6.2, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.stairs(mean.numpy(), edges, label="mean over the pictures: the area is what t > 0 adds")
    axes.stairs((mean + std).numpy(), edges, baseline=(mean - std).clamp(min=0).numpy(), fill=True, alpha=0.2,
                label="± standard deviation over the pictures")  # fmt: skip
    axes.set(xscale="log", xlabel="t", ylabel="bits a dimension for each doubling of t")
    axes.set_title(
        f"{title}\n{bound.totals().mean():.3f} bits a dimension, of which t = 0 {bound.decoder.mean():.3f}, "
        f"prior {bound.prior.mean():.2g}"
    )
    axes.legend()
    return save_plot(path, figure, texts)
