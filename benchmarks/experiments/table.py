"""The study, fixed before it is run: what is trained, what is drawn, and what is claimed of it, a row a claim.

Every comparison is of trainings. Those of seed k are alike but for what the row compares (first weights, batches and noise
follow from the seed), and draw the pictures of the same seeds, which no other k draws. So seed k gives one difference, and the
TRAININGS differences of a row are independent: claims.py says what follows from them.

A margin is the difference that is of no interest. That of KID is a tenth of what a pilot training of digits (seed 100, which is
no part of the study) was away from the data: 0.58 after 400 steps. On the ways of a pilot of 800 steps, jump was 2.0.
"""

from collections.abc import Sequence

from benchmarks.experiments.cells import BASE, Cell, Drawing
from benchmarks.experiments.study import DataSet, Row, Study

TRAINED = GREY, COLOUR = "Mnist_Mini", "Emoji"
SHIPPED = "Shipped_Digits"
HALF = 0.5  # of the distance from noise to picture, that is left after half of the steps
JUMP = 1.5  # largest over mean change, from which on the way between two pictures has a jump
FASTER, FASTER_MARGIN = 20.0, 0.02  # times, and the share of it that is of no interest

# What all trainings have in common, beside the entry of config.yaml: the learning rate stays (as on the seed page), and the
# loss is the plain one.
COMMON = (
    "train.learning_rate_decay=none",
    "diffusion.loss_of_clipped=false",
    "train.batch_size=16",
    "train.sample_every=1000000",
    "train.save_every=1000000",
    "train.save_minutes=null",
    "sample.sample_num=16",
    "sample.sample_info=DPMPP_20_0p0",
)

# What a variant changes.
VARIANTS: dict[str, tuple[str, ...]] = {
    BASE: (),
    "l1_cosine": ("diffusion.loss_type=l1",),
    "l1_linear": ("diffusion.loss_type=l1", "diffusion.beta_schedule=linear"),
    "p2": ("diffusion.weighting=p2",),
    "min_snr": ("diffusion.weighting=min_snr",),
    "pred_noise": ("diffusion.objective=pred_noise",),
    "pred_v": ("diffusion.objective=pred_v",),
    "self_condition": ("diffusion.self_condition=true",),
    "learned_variance": ("diffusion.variance=learned",),
    "uniform_timesteps": ("train.timestep_logit_normal=null", "train.timestep_uniform_share=0.0"),
    "overshooting_allowed": ("diffusion.loss_of_clipped=true",),
}


DATA: dict[str, DataSet] = {
    "Mnist_Mini": DataSet(
        400,
        ("model.base_channels=16",),
        {"kid": 0.05, "grain": 0.005, "edges": 0.005, "light": 0.01, "jump": 0.3, "left": 0.05},
    ),
    "Emoji": DataSet(
        400,
        ("model.base_channels=16", "model.channel_mult=[1,2]", "model.attention_resolutions=[]"),
        {"kid": 0.05, "grain": 0.005, "edges": 0.005, "light": 0.01, "jump": 0.3, "left": 0.05},
    ),
    # KID of its pictures, drawn without guidance, is 0.008; of real ones 0.
    SHIPPED: DataSet(0, (), {"kid": 0.01}, entry=GREY, checkpoint="checkpoints/mnist_mini.safetensors"),
}

STUDY = Study(DATA, COMMON, VARIANTS, BASE)
TRAININGS = STUDY.trainings  # seeds 0, 1, 2, 3: of each, 250 pictures, 1,000 in all

# The page's sections: what the files of their pictures are called by, and their titles.
SECTIONS = {
    "losses": "L1 and L2, linear and cosine",
    "each_off": "EMA, P2 and clipping, each off in turn",
    "samplers": "Samplers and steps",
    "interpolation": "Interpolation",
    "parts": "Other parts",
}


def claim_of(
    data: str, whose: str, claim: str, kind: str, figure: str, first: Cell, second: Cell | float, section: str
) -> Row:
    """A row, with the margin that its figure has on its data set. whose: "seed page" or "ours"."""
    return Row(data, whose, claim, kind, figure, first, second, section, DATA[data].margins[figure])


def by(sampler: str, **otherwise) -> Cell:
    """The base variant, drawn by a sampler."""
    return Cell(BASE, Drawing(sampler, **otherwise))


def losses(data: str) -> list[Row]:
    """L1 and L2, of the seed page's first table."""
    l2, l1 = Cell(BASE), Cell("l1_cosine")
    return [
        claim_of(data, "seed page", "L2 is sharper, L1 smoother", "more", "edges", l2, l1, "losses"),
        claim_of(data, "seed page", "L2 is dirtier than L1", "more", "grain", l2, l1, "losses"),
    ]


def schedules(data: str) -> list[Row]:
    """Linear and cosine, of the same table."""
    cosine, linear = Cell("l1_cosine"), Cell("l1_linear")

    def row(*of) -> Row:
        return claim_of(data, "seed page", *of, "losses")

    if data == GREY:
        return [row("On grey pictures linear is as good as cosine", "same", "kid", linear, cosine)]
    return [
        row("On colour pictures linear whitens", "more", "light", linear, cosine),
        row("On colour pictures cosine is better than linear", "improves", "kid", cosine, linear),
    ]


def each_off(data: str) -> list[Row]:
    """All three are on in p2: averaged weights and clipping are options of drawing."""
    on, raw = Cell("p2"), Cell("p2", Drawing(weights="raw"))

    def row(claim: str, off: Cell) -> Row:
        return claim_of(data, "seed page", claim, "same", "kid", off, on, "each_off")

    return [
        row("Without EMA there is no clear difference", raw),
        row("Without P2 there is no clear difference", Cell(BASE)),
        row("Without clipping there is no clear difference", Cell("p2", Drawing(clip=False))),
    ]


def few_steps(data: str) -> list[Row]:
    """Samplers of at most 50 steps."""
    ddim, ddpm = by("DDIM_50_0p0"), by("DDPM_50_0p0")

    def row(*of) -> Row:
        return claim_of(data, *of, "samplers")

    return [
        row("seed page", "eta 0 and eta 1 differ little (DDIM, 50 steps)", "same", "kid", ddim, by("DDIM_50_1p0")),
        row("ours", "The posterior of one step at strided times leaves noise (50 steps)", "more", "grain",
            by("DDPM_50_0p0", way="one_step"), ddpm),
        row("seed page", "Steps evenly spaced do little first: half-way, more than half of the way is left", "more", "left",
            by("DDIM_50_0p0", way="half_way"), HALF),
        row("ours", "UNIPC_10 is no worse than DDIM_50", "no_worse", "kid", by("UNIPC_10_0p0"), ddim),
        row("ours", "UNIPC_5 is no worse than DDIM_50", "no_worse", "kid", by("UNIPC_5_0p0"), ddim),
    ]  # fmt: skip


def interpolation(data: str) -> list[Row]:
    """Between two real pictures."""
    slerp = by("DDIM_50_0p0", way="slerp")

    def row(*of) -> Row:
        return claim_of(data, *of, "interpolation")

    return [
        row("seed page", f"Between two pictures there is a jump (largest over mean change above {JUMP:g})", "more", "jump",
            slerp, JUMP),
        row("ours", "DDIM's latents jump less than noised pictures", "less", "jump", by("DDIM_50_0p0", way="ddim"), slerp),
        row("ours", "slerp jumps less than lerp", "less", "jump", slerp, by("DDIM_50_0p0", way="lerp")),
    ]  # fmt: skip


def long_chains(data: str) -> list[Row]:
    """Chains of up to 1,000 steps: the dear ones."""
    long = by("DDPM_1000_0p0")

    def row(*of) -> Row:
        return claim_of(data, *of, "samplers")

    rows = [
        row("seed page", "DDPM of 50 steps is nearly pure noise", "more", "grain", by("DDPM_50_0p0"), long),
        row("seed page", "DDIM of 50 steps is good already: no worse than DDPM_1000", "no_worse", "kid",
            by("DDIM_50_0p0"), long),
        row("ours", "DPMPP_20 is as good as DDPM_1000", "same", "kid", by("DPMPP_20_0p0"), long),
        claim_of(data, "seed page", "DDPM_1000 interpolates more evenly than DDIM_50", "less", "jump",
            by("DDPM_1000_0p0", way="slerp"), by("DDIM_50_0p0", way="slerp"), "interpolation"),
    ]  # fmt: skip
    if data == GREY:
        rows.append(
            row("seed page", "DDPM of 500 steps leaves a veil of noise", "more", "grain", by("DDPM_500_0p0"), long)
        )
        rows.append(row("seed page", "DDPM of 200 steps leaves noise", "more", "grain", by("DDPM_200_0p0"), long))
    return rows


def parts(data: str) -> list[Row]:
    """What else can be switched on, on digits: each on (or the default, beside what it replaced)."""
    base = Cell(BASE)

    def row(claim: str, on: Cell, off: Cell) -> Row:
        return claim_of(data, "ours", claim, "improves", "kid", on, off, "parts")

    if data != GREY:
        return []
    return [
        row("The recipe's estimate of x_0 improves on predicting the noise", base, Cell("pred_noise")),
        row("The recipe's estimate of x_0 improves on predicting v", base, Cell("pred_v")),
        row("Logit-normal timesteps improve on uniform ones", base, Cell("uniform_timesteps")),
        row("Not counting an overshoot improves", Cell("overshooting_allowed"), base),
        row("Min-SNR weighting improves", Cell("min_snr"), base),
        row("Self-conditioning improves", Cell("self_condition"), base),
        row(
            "A learned variance improves (DDPM_50)",
            Cell("learned_variance", Drawing("DDPM_50_0p0")),
            by("DDPM_50_0p0"),
        ),
    ]


def of_checkpoint(data: str) -> list[Row]:
    """Samplers of the digits that ship, without guidance."""
    ddim, long = (Cell("shipped", Drawing(sampler)) for sampler in ("DDIM_50_0p0", "DDPM_1000_0p0"))

    def row(*of) -> Row:
        return claim_of(data, *of, "samplers")

    return [
        row("seed page", "eta 0 and eta 1 differ little (DDIM, 50 steps)", "same", "kid", ddim,
            Cell("shipped", Drawing("DDIM_50_1p0"))),
        row("ours", "DPMPP_20 is as good as DDPM_1000", "same", "kid", Cell("shipped"), long),
        row("seed page", "DDIM of 50 steps is good already: no worse than DDPM_1000", "no_worse", "kid", ddim, long),
    ]  # fmt: skip


def rows_of(data_names: Sequence[str]) -> tuple[Row, ...]:
    """All claims about these data sets, in the order in which they are run."""
    order = (losses, interpolation, few_steps, schedules, each_off, long_chains)
    trained = [name for name in data_names if DATA[name].checkpoint is None]
    rows = [row for name in trained for part in order for row in part(name)]
    rows += [row for name in trained for row in parts(name)]
    return (*rows, *(row for name in data_names if name not in trained for row in of_checkpoint(name)))
