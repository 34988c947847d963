"""What test_solver.py does with a trained model: the table of modes, one module each. Imports nothing that takes time.

`modes/NAME.py` has `run(model, sampler, *, seed, save_dir, ...) -> paths written`. `model` is a `modes.model.Model`, `sampler`
a `diffusion.SampleInfo`, which a mode without a sampler is not given; where `several`, both are lists. The keyword-only
arguments are the options that the table names, None where the user gave none; and, where `shared`, `ranks`, a
`utils.distributed.Ranks`. A mode prints what it will do and where to, before it begins.
"""

from typing import NamedTuple


class Mode(NamedTuple):
    """help: one line. options: the names, in modes/options.py, of what `run` is given.

    requirements: the file of packages that it needs beyond requirements.txt. sampler: whether it looks at its sampler.
    several: whether it takes several checkpoints and samplers. by_class: whether it draws new pictures, whose class can be
    asked for. shared: whether torchrun's processes share its work. resamples: whether its sampler may take each step N times.
    """

    help: str
    options: tuple[str, ...]
    requirements: str | None = None
    sampler: bool = True
    several: bool = False
    by_class: bool = False
    shared: bool = False
    resamples: bool = False


REAL = ("data_name", "data_path", "config")  # where the real pictures come from
MEASURING = "requirements-evaluate.txt"

MODES = {
    "random_gen": Mode(
        "new pictures: a grid, their denoising as a picture and as a GIF",
        ("seed", "save_dir", "sample_num", "batch_size", "save_images", "compile"),
        by_class=True,
        shared=True,
    ),
    "interpolate": Mode(
        "what lies between two real pictures",
        ("seed", "save_dir", "sample_num", "batch_size", *REAL)
        + ("interpolate_mode", "interpolate_steps", "interpolate_num"),
    ),
    "reconstruct": Mode(
        "real pictures to their latents, and back",
        ("seed", "save_dir", "sample_num", "batch_size", *REAL, "split"),
    ),
    "inpaint": Mode(
        "pixels of real pictures kept, the others filled in",
        ("seed", "save_dir", "sample_num", "batch_size", *REAL, "picture", "mask"),
        by_class=True,
        resamples=True,
    ),
    "edit": Mode(
        "real pictures, or a crude drawing, noised and drawn anew",
        ("seed", "save_dir", "sample_num", "batch_size", *REAL, "picture", "strength"),
        by_class=True,
    ),
    "evaluate": Mode(
        "FID, KID, precision and recall of new pictures, and whether they are copies of training pictures",
        ("seed", "save_dir", "sample_num", "batch_size", *REAL)
        + ("split", "repeats", "extractor", "inception_weights"),
        requirements=MEASURING,
        by_class=True,
        shared=True,
    ),
    "compare": Mode(
        "several checkpoints and samplers side by side: a grid, a table, a plot",
        ("seed", "save_dir", "sample_num", "batch_size", "repeats", "extractor", "inception_weights"),
        requirements=MEASURING,
        several=True,
        by_class=True,
        shared=True,
    ),
    "likelihood": Mode(
        "bits a dimension of real pictures, by the variational bound",
        ("seed", "save_dir", "sample_num", "batch_size", *REAL, "split", "likelihood_steps"),
        sampler=False,
        shared=True,
    ),
    "report": Mode(
        "one HTML page of a whole run, with everything inside",
        ("save_dir",),
        sampler=False,
    ),
}
