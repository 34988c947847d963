"""`evaluate`: figures of drawn pictures beside real ones, with their protocol, their floor, and a look at memorisation."""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from diffusion import SampleInfo
from evaluation.extractor import extractor_for, load_extractor
from evaluation.measures import check_count, draw_pictures, measure, measure_floor
from evaluation.memorisation import memorisation, save_memorisation
from evaluation.record import (
    describe,
    floor_record,
    model_record,
    protocol,
    save_json,
    save_table,
    summary,
    table,
)
from evaluation.reference import Reference, load_reference
from modes.model import Model
from modes.real_data import real_data

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
) -> list[Path]:
    """Draws `repeats` times `sample_num` pictures and measures each lot; the floor and memorisation beside them."""
    trained, info, extractor_name = model.trained, sampler, extractor
    prefix = trained.output_prefix(save_dir, info)
    paths = [Path(f"{prefix}_{name}") for name in ("evaluate.json", "evaluate.md", "memorisation.png")]
    data, split, repeats = real_data(model.settings, data_name, data_path, config), split or "train", repeats or 1
    extractor = load_extractor(extractor_name or extractor_for(data.source), inception_weights, trained.device)
    if sample_num:
        check_count(sample_num, extractor)
    reference = load_reference(data, split, extractor, seed=seed)
    count = sample_num or min(PICTURES_MAX, max(len(reference.held_out.pictures), extractor.dimension + 1))
    record: dict[str, Any] = model_record(trained, info)
    record["protocol"] = protocol(
        count=count, seed=seed, repeats=repeats, reference=reference.real.name,
        reference_count=len(reference.real.pictures), extractor=extractor,
    )  # fmt: skip
    check_count(len(reference.real.pictures), extractor)
    print(f"Draws:   {describe(record)}")
    print(f"Output:  {', '.join(map(str, paths))}", flush=True)

    record["floor"] = _floor(reference, extractor, count, seed, repeats)
    runs, drawn, seconds = [], None, 0.0
    with tqdm(total=repeats * count * info.steps, unit="call", unit_scale=True) as bar:
        for first, last in record["protocol"]["seeds"]:
            lot = draw_pictures(trained, info, range(first, last + 1), batch_size, bar.update)
            features = extractor(lot.pictures)
            runs.append(measure(features, reference.real.features, extractor, seed=first))
            drawn = drawn or (lot, features)  # the first lot: memorisation is looked for there
            seconds += lot.seconds
    record["figures"] = summary(runs)
    record["network_calls"] = drawn[0].network_calls
    record["seconds_a_picture"] = seconds / (repeats * count)

    if split != "train":
        reference = load_reference(data, "train", extractor, seed=seed)
    found = memorisation(drawn[0].pictures, drawn[1], reference)
    counts = {name: len(of["pixels"].index) for name, of in (("drawn", found.drawn), ("held_out", found.held_out))}
    record["memorisation"] = {"held_out": reference.held_out.name, "pictures": counts, **found.figures()}
    print(table(record))
    _print_memorisation(record["memorisation"])
    title = f"{trained.name} at {info}: {count:,} drawn, beside {reference.real.name}"
    return [
        save_json(paths[0], record),
        save_table(paths[1], record),
        save_memorisation(paths[2], title, drawn[0].pictures, found, reference.real.pictures),
    ]


def _floor(reference: Reference, extractor, count: int, seed: int, repeats: int) -> dict[str, Any] | None:
    """The floor as often as the choice of held-out pictures can differ; None, and says so, if they are too few."""
    available = min(len(reference.held_out.pictures), len(reference.beside.pictures))
    if available <= extractor.dimension:
        print(f"Floor:   not measured, as {available:,} held-out pictures are too few")
        return None
    times = repeats if count < available else 1
    return floor_record([measure_floor(reference, extractor, count, seed=seed + r) for r in range(times)])


def _print_memorisation(found: dict[str, Any]) -> None:
    """The quantiles of the distances to the nearest training picture."""
    print("Distance to the nearest training picture:")
    for space in ("pixels", "features"):
        for name in ("drawn", "held_out"):
            shown = ", ".join(f"{q} {value:.4g}" for q, value in found[space][name].items())
            print(f"  in {space}, {name.replace('_', ' ')}: quantiles {shown}")
        nearer = found[space]["drawn_nearer_than_1%_of_held_out"]
        print(f"  in {space}: {nearer:.1%} of the drawn pictures are nearer than the nearest 1% of the held-out ones")
