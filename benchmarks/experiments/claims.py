"""The seed page's claims, each with what the tables say of it: holds, does not hold, or not decided at this budget."""

import csv
import math
import statistics
from pathlib import Path
from typing import NamedTuple

from benchmarks.experiments.table import BASE, DRAWN_BY

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided at this budget"
NOISE = 2.0  # times the grain of the data: from there on, pictures are too unfinished for claims about them
SIGMAS = 2.0  # a difference counts from so many standard deviations on
BLIND_SIGMAS = 6.0  # of two trainings, where the standard deviation between trainings was not measured
SAMPLER = DRAWN_BY[0]


class Figure(NamedTuple):
    """A mean and the standard deviation of it over sets of pictures; None where there was one set."""

    mean: float
    std: float | None

    def __str__(self) -> str:
        return f"{self.mean:.3g}" + ("" if self.std is None else f" ± {self.std:.2g}")


class Claim(NamedTuple):
    """What was claimed, what became of it, and the figures that say so."""

    text: str
    verdict: str
    evidence: str


class Table:
    """The rows of a compare_table.csv, by checkpoint and sampler; none if it is not there."""

    def __init__(self, folder: Path):
        path = folder / "compare_table.csv"
        rows = list(csv.DictReader(path.open(encoding="utf-8"))) if path.is_file() else []
        self.rows = {(row["model"], row["sampler"]): row for row in rows}

    def get(self, model: str, name: str, sampler: str = SAMPLER) -> Figure | None:
        """A figure of one row."""
        row = self.rows.get((model, sampler), {})
        return (
            Figure(float(row[name]), float(row[f"{name}_std"]) if row.get(f"{name}_std") else None)
            if row.get(name)
            else None
        )

    def real(self, name: str) -> Figure | None:
        """The same figure of the real pictures."""
        return next((self.get(model, name, "") for model, sampler in self.rows if not sampler), None)


def difference(a: Figure, b: Figure, between: float = 0.0) -> tuple[float, float]:
    """a - b, and its standard deviation: that of both sets' means, and of two trainings that differ by `between`."""
    return a.mean - b.mean, math.sqrt(sum((figure.std or 0.0) ** 2 for figure in (a, b)) + 2 * between**2)


def between_trainings(losses: Table, seeds: Table, name: str) -> float:
    """The standard deviation of a figure over trainings that differ by their seed alone; 0 if there is only one."""
    found = [losses.get(BASE, name), *(seeds.get(model, name) for model, sampler in seeds.rows if sampler)]
    means = [figure.mean for figure in found if figure is not None]
    return statistics.stdev(means) if len(means) > 1 else 0.0


def compared(a: Figure, b: Figure, between: float | None = None) -> str:
    """`higher`, `lower`, or `alike` where the difference is within so many of its standard deviations.

    `between`, of figures from two trainings, is their standard deviation between trainings, 0 if it is not known; None: from
    one training.
    """
    value, std = difference(a, b, between or 0.0)
    return (
        "alike"
        if abs(value) <= std * (BLIND_SIGMAS if between == 0 else SIGMAS)
        else "higher"
        if value > 0
        else "lower"
    )


def loss_claims(losses: Table, seeds: Table, colour: bool) -> list[Claim]:
    """L1 and L2, linear and cosine: of the seed page's first table."""
    claims = []
    for name in ("l1", "l2"):
        pair = f"{name}_linear", f"{name}_cosine"
        claims += _washed_out(losses, seeds, *pair) if colour else _no_difference(losses, seeds, *pair)
    for schedule in ("cosine", "linear"):
        for figure, word in (("edges", "sharper"), ("grain", "dirtier")):
            a, b = (losses.get(f"{loss}_{schedule}", figure) for loss in ("l2", "l1"))
            if a is None or b is None:
                continue
            between = between_trainings(losses, seeds, figure)
            verdict = {"higher": HOLDS, "lower": FAILS, "alike": OPEN}[compared(a, b, between)]
            said = f"{figure} {a} and {b}{trainings(between)}; data {losses.real(figure)}"
            claims.append(Claim(f"L2 is {word} than L1 ({schedule})", verdict, said))
    worst = max((losses.get(model, "grain").mean for model, sampler in losses.rows if sampler), default=0.0)
    if claims and worst > NOISE * losses.real("grain").mean:
        said = f"; but the grain of up to {worst:.2g} says that what is drawn is still noise"
        claims = [Claim(claim.text, OPEN, claim.evidence + said) for claim in claims]
    return claims


def trainings(between: float) -> str:
    """How far trainings alone lie apart, in words."""
    return f" (± {between:.2g} between trainings)" if between else " (one training each)"


def _no_difference(losses: Table, seeds: Table, one: str, other: str) -> list[Claim]:
    a, b, between = losses.get(one, "fid"), losses.get(other, "fid"), between_trainings(losses, seeds, "fid")
    if a is None or b is None:
        return []
    found = compared(a, b, between)
    words = {"alike": "no difference beyond chance", "higher": "linear is worse", "lower": "linear is better"}
    said = f"FID {a} and {b}{trainings(between)}: {words[found]}"
    return [Claim(f"On grey pictures {one} is as good as {other}", HOLDS if found == "alike" else FAILS, said)]


def _washed_out(losses: Table, seeds: Table, one: str, other: str) -> list[Claim]:
    """Whether the first is lighter and less colourful than the second: by the mean of its channels, and its chroma."""
    names = ("red", "green", "blue")
    light = [[losses.get(model, name) for name in names] for model in (one, other)]
    real, chroma = [losses.real(name) for name in names], [losses.get(model, "chroma") for model in (one, other)]
    if None in (*light[0], *light[1], *real, *chroma):
        return []
    a, b = (
        Figure(*(statistics.fmean(values) for values in zip(*((f.mean, f.std or 0.0) for f in figures))))
        for figures in light
    )
    data = statistics.fmean(figure.mean for figure in real)
    between = statistics.fmean(between_trainings(losses, seeds, name) for name in names)
    lighter = compared(a, b, between) == "higher"
    duller = compared(*chroma, between_trainings(losses, seeds, "chroma")) == "lower"
    verdict = HOLDS if lighter and duller else OPEN if lighter or duller else FAILS
    said = f"mean of the channels {a} and {b}, data {data:.3g}"
    said += f"; chroma {chroma[0]} and {chroma[1]}, data {losses.real('chroma')}"
    return [
        Claim(
            f"{one} is washed out, compared with {other}: lighter, less colourful", verdict, said + trainings(between)
        )
    ]


def sampler_claims(few: Table, middle: Table, many: Table, model: str, wrong: dict) -> list[Claim]:
    """Chains of few steps and of many, and the fast solvers."""
    claims = []
    grain = few.get(model, "grain", "DDPM_50_0p0")
    if grain is not None:
        data = few.real("grain")
        said = f"grain {grain} at DDPM_50_0p0 (data {data})"
        long = many.get(model, "grain", "DDPM_1000_0p0")
        said += f", {long} at DDPM_1000_0p0" if long else ""
        mistaken = wrong.get("posterior of one step, 50 steps")
        said += f"; with the posterior of one step at strided times {mistaken['grain']:.3g}" if mistaken else ""
        claims.append(Claim("DDPM of few steps is noise", FAILS if grain.mean < 1.25 * data.mean else HOLDS, said))
    claims += _good_at_fifty(few, model)
    rows = many.rows.get((model, "DDPM_1000_0p0")), few.rows.get((model, "DDIM_50_0p0"))
    if None not in rows:
        (slow, fast), (long, short) = (
            tuple(float(row[name]) for row in rows) for name in ("network_calls", "seconds_a_picture")
        )
        said = f"{slow:.0f} and {fast:.0f} network calls; {long:.3g} and {short:.3g} s a picture as measured"
        verdict = HOLDS if slow / fast >= 20 else FAILS
        claims.append(Claim("DDIM_50 is at least 20 times faster than DDPM_1000", verdict, said))
    etas = [few.get(model, "fid", f"DDIM_50_{eta}") for eta in ("0p0", "1p0")]
    if None not in etas:
        found = compared(*etas)
        said = f"FID {etas[0]} at eta 0 and {etas[1]} at eta 1, 50 steps"
        said += "" if found == "alike" else f": eta 1 is {'better' if found == 'higher' else 'worse'}"
        ddpm = few.get(model, "fid", "DDPM_50_0p0")
        if ddpm is not None and math.isclose(ddpm.mean, etas[1].mean, rel_tol=1e-3):
            said += "; eta 1 draws what DDPM draws, picture by picture"
        claims.append(Claim("eta makes little difference", HOLDS if found == "alike" else FAILS, said))
    return claims + _fastest(few, model)


def _good_at_fifty(few: Table, model: str) -> list[Claim]:
    ddim, floor, share = (
        few.get(model, "fid", "DDIM_50_0p0"),
        few.real("fid"),
        few.get(model, "confident", "DDIM_50_0p0"),
    )
    ddpm = few.get(model, "fid", "DDPM_50_0p0")
    if None in (ddim, floor, share, ddpm):
        return []
    said = f"FID {ddim}, DDPM_50_0p0 {ddpm}, floor {floor}; read with confidence: {share.mean:.0%}"
    said += f", real {few.real('confident').mean:.0%}"
    good = compared(ddim, ddpm) != "higher"
    return [Claim("DDIM is good at 50 steps (no worse than DDPM at 50)", HOLDS if good else FAILS, said)]


def _fastest(few: Table, model: str) -> list[Claim]:
    """The fewest network calls with an FID and a KID that are not beyond chance above those of DDIM_50_0p0."""
    base = [few.get(model, name, "DDIM_50_0p0") for name in ("fid", "kid")]
    if None in base:
        return []
    enough = []
    for (name, sampler), row in few.rows.items():
        found = [few.get(name, figure, sampler) for figure in ("fid", "kid")]
        if name == model and sampler and all(compared(*pair) != "higher" for pair in zip(found, base)):
            enough.append((int(row["network_calls"]), sampler, "FID {}, KID {}".format(*found)))
    calls, sampler, figures = min(enough)
    text = "(ours) a fast solver needs fewer calls than DDIM_50 for the same"
    return [
        Claim(
            text,
            HOLDS if calls < 50 else FAILS,
            f"{sampler}, {calls} calls: {figures}; DDIM_50_0p0: FID {base[0]}, KID {base[1]}",
        )
    ]


OTHERS = {
    "min_snr": "Min-SNR weighting",
    "pred_noise": "predicting the noise",
    "pred_x0": "predicting x_0",
    "self_condition": "self-conditioning",
    "learned_variance": "a learned variance",
    "logit_normal": "drawing timesteps by a logit-normal",
}


def each_off_claims(losses: Table, seeds: Table, all_on: Table, ema_off: Table, clip_off: Table) -> list[Claim]:
    """EMA, P2 and clipping, each taken away from all three. EMA and clipping are of one training: none between."""
    base, between = losses.get(BASE, "fid"), between_trainings(losses, seeds, "fid")
    full, claims = all_on.get("p2", "fid"), []
    for text, off, of_trainings, note in (
        ("EMA", ema_off.get("p2", "fid"), None, ""),
        ("P2 weighting", base, between, trainings(between)),
        ("clipping", clip_off.get("p2", "fid"), None, ""),
    ):
        if full is None or off is None:
            continue
        found = compared(off, full, of_trainings)
        said = f"FID {off} without, {full} with all three{note}"
        said += "" if found == "alike" else f": {'worse' if found == 'higher' else 'better'} without"
        claims.append(Claim(f"Without {text} there is no clear difference", HOLDS if found == "alike" else FAILS, said))
    return claims


def part_claims(losses: Table, seeds: Table, parts: Table, variance: Table) -> list[Claim]:
    """What else can be switched on, compared with the base."""
    base, between = losses.get(BASE, "fid"), between_trainings(losses, seeds, "fid")
    claims = []
    for name, text in OTHERS.items():
        fid = parts.get(name, "fid")
        if fid is not None and base is not None:
            claims.append(_helps(text, fid, base, between))
    fids = variance.get("learned_variance", "fid", "DDPM_50_0p0"), variance.get(BASE, "fid", "DDPM_50_0p0")
    if None not in fids:
        claims.append(_helps("a learned variance, drawn by DDPM_50_0p0,", *fids, between))
    return claims


def _helps(text: str, fid: Figure, base: Figure, between: float) -> Claim:
    found = compared(fid, base, between)
    verdict = {"lower": HOLDS, "higher": FAILS, "alike": OPEN}[found]
    return Claim(f"(ours) {text} improves on {BASE}", verdict, f"FID {fid} against {base}{trainings(between)}")
