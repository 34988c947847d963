"""`evaluate`: one cell of a comparison, by a checkpoint and a sampler, and a look at memorisation."""

from pathlib import Path
from typing import Any

import torch

from diffusion import SampleInfo
from evaluation.drawn import Measured, draw_pictures, measure_sets, network_calls
from evaluation.extractor import Extractor, check_suits, extractor_for, load_extractor
from evaluation.measures import check_count
from evaluation.memorisation import Memorisation, memorisation, save_memorisation
from evaluation.picture_metrics import PictureMetrics, SeedSets
from evaluation.record import describe, is_same_request, markdown, markdown_by_class, save_json, save_text
from evaluation.reference import RealPictures, Reference, load_reference
from evaluation.sheets import surest_sheet
from modes.model import Model
from modes.real_data import data_words, given_options, real_data
from utils.bars import progress_bar
from utils.distributed import Ranks
from utils.files import keep_other
from utils.pictures import readable_scale, save_png

PICTURES_MAX = 10_000  # unless --sample_num says otherwise


def run(
    model: Model,
    sampler: SampleInfo,
    *,
    seed: int,
    save_dir: str,
    sample_num: int | None,
    batch_size: int | None,
    data_name: str | None,
    data_path: str | None,
    config: str | None,
    split: str | None,
    repeats: int | None,
    extractor: str | None,
    inception_weights: str | None,
    ranks: Ranks,
) -> list[Path]:
    """Draws `repeats` sets of `sample_num` pictures and measures each; the floor and memorisation are in the record too.

    The ranks share the drawing and the extractor's work.
    """
    trained, split = model.trained, split or "train"
    prefix = trained.output_prefix(save_dir, sampler, *data_words(model.settings, data_name, data_path, config))
    names = ("evaluate.json", "evaluate.md", "memorisation.png", "told_apart.png")
    paths = [Path(f"{prefix}_{name}") for name in names]
    data = real_data(model.settings, data_name, data_path, config)
    chosen = choose_extractor(extractor, data.source, inception_weights, sample_num, trained.device)
    metrics = PictureMetrics(data, chosen, split, seed=seed, ranks=ranks)
    check_count(len(metrics.reference.real.pictures), chosen)
    available = len(metrics.reference.held_out.pictures)
    count = sample_num or min(PICTURES_MAX, max(available, chosen.least))
    seed_sets = SeedSets(seed, count, repeats or 1)
    print(f"Draws:   {describe(metrics.protocol(seed_sets), trained.weights)}")
    written = paths if metrics.tells_apart(count) else paths[:-1]
    print(f"Output:  {', '.join(map(str, written))}", flush=True)

    is_read = metrics.reader.reads(trained.num_classes, trained.classes.names)
    floor = metrics.floor(seed_sets, is_read) if ranks.is_main else {}
    if ranks.is_main and "kid" not in floor["figures"]:
        print(f"Floor:   not measured, as {available:,} held-out pictures are too few")
    calls = seed_sets.total * network_calls(trained, sampler) // ranks.size  # this rank's
    with progress_bar(calls, "call", visible=ranks.is_main) as bar:
        drawn = (draw_pictures(trained, sampler, seeds, batch_size, bar.update, ranks) for seeds in seed_sets.ranges())
        measured = measure_sets(trained, sampler, seed_sets, drawn, metrics, floor)
    train = metrics.reference if split == "train" else load_reference(data, "train", chosen, seed=seed, ranks=ranks)
    if not ranks.is_main:
        return []
    found, record = memorisation(measured.first, measured.features, train), measured.record
    record["memorisation"] = memorisation_record(found, train)
    record["real_pictures"] = given_options(data_name, data_path, config)
    print(markdown([record]))
    print(markdown_by_class(record), end="")
    print_memorisation(record["memorisation"])
    title = f"{trained.name} at {sampler}: {count:,} drawn, compared with {train.real.name}"
    return save_all(paths, measured, found, train.real, title)


def save_all(paths: list[Path], measured: Measured, found: Memorisation, real: RealPictures, title: str) -> list[Path]:
    """Writes the record, its tables, the sheet of memorisation, and that of what is told apart most surely, if it was asked."""
    record, first = measured.record, measured.first
    keep_other(paths, is_same_request(paths[0], record))
    texts = {"command": record["command"]}
    written = [
        save_json(paths[0], record),
        save_text(paths[1], "\n".join(filter(None, [markdown([record]), markdown_by_class(record)]))),
        save_memorisation(paths[2], title, first, found, real.pictures, texts),
    ]
    if measured.two_sample is not None:
        written.append(save_png(paths[3], surest_sheet(first, measured.two_sample, readable_scale(first)), texts))
    return written


def choose_extractor(
    name: str | None, source: str, inception_weights: str | None, sample_num: int | None, device: torch.device
) -> Extractor:
    """The extractor that was asked for, or else the one that suits the data. RequestError if it does not fit,
    or if `sample_num` pictures are too few for it."""
    if name:
        check_suits(name, source)
    chosen = load_extractor(name or extractor_for(source, inception_weights), inception_weights, device)
    if sample_num:
        check_count(sample_num, chosen)
    return chosen


def memorisation_record(found: Memorisation, train: Reference) -> dict[str, Any]:
    """The figures, and of how many pictures they are."""
    counts = {name: len(of["pixels"].index) for name, of in (("drawn", found.drawn), ("held_out", found.held_out))}
    return {"held_out": train.held_out.name, "pictures": counts, **found.figures()}


def print_memorisation(found: dict[str, Any]) -> None:
    """The quantiles of the distances to the nearest training picture."""
    print("Distance to the nearest training picture:")
    for space in ("pixels", "features"):
        for name in ("drawn", "held_out"):
            quantiles = ", ".join(f"{q} {value:.4g}" for q, value in found[space][name].items())
            print(f"  in {space}, {name.replace('_', ' ')}: quantiles {quantiles}")
        nearer = found[space]["drawn_nearer_than_1%_of_held_out"]
        print(f"  in {space}: {nearer:.1%} of the drawn pictures are nearer than the nearest 1% of the held-out ones")
