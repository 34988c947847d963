"""Writes docs/experiments.md from what the experiments left: python -m benchmarks.experiments.page docs/experiments

Nothing is drawn or trained here, and every number comes from a file that is named beside it.
"""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # run as a program, it sees the project's folders

from benchmarks.experiments.claims import (  # noqa: E402
    FAILS,
    HOLDS,
    OPEN,
    Claim,
    Table,
    each_off_claims,
    loss_claims,
    part_claims,
    sampler_claims,
)  # fmt: skip
from benchmarks.experiments.table import BASE, BOUND_PICTURES, BOUNDS, COMPARISONS, INTERPOLATIONS, of_data  # noqa: E402
from evaluation.sheets import Sheet, labelled_grid  # noqa: E402
from utils.config import load_settings  # noqa: E402
from utils.files import atomic_write  # noqa: E402
from utils.pictures import read_png, save_png  # noqa: E402

LOW = 10  # timesteps, of 1,000
JUMP = 1.5  # largest over mean change, from which on a way between two pictures has one

HEAD = """# The experiments

What the page that this project grew from compares by eye, with figures next to the pictures. This page, its pictures and its
figures are written by `bash run_experiments.sh`, which trains small networks on equal budgets, and resumes. What is trained
and compared is one table, [table.py](../benchmarks/experiments/table.py); `DATA_NAMES=Cifar10 STEPS=100000 PICTURES=2500
JOBS=1 bash run_experiments.sh` runs it on another data set. **Only what is shown here was run**, minutes on a CPU: a verdict
is one at that budget. All variants predict v unless their name says otherwise (the original page predicts the noise, which
within minutes gives no digits to compare). The commands stand below the tables. All of it was made by version 0.3, and the
samplers are those of its checkpoint, checkpoints/mnist_mini.safetensors, which the history holds at commit e2e8b24.

How to read it:

- FID, KID, precision and recall are of a small digit classifier's features, not of Inception's, and of few pictures: they
  compare the rows of one table, not with papers, nor with tables of another number of pictures.
- `confident`: the share of digits that the classifier reads with more than 0.99; blobs can be, too, so look at the pictures.
- `edges`: the mean difference of neighbouring pixels. `grain`: the root mean square difference of a picture from its 3x3
  median. `chroma`: the largest minus the smallest channel. All of values from 0 to 1.
- `FID infinity`: FID extrapolated to infinitely many drawn pictures (Chong and Forsyth 2020). `told apart`: how often a small
  network is right about which pictures are drawn and which are held-out real ones; 50 %: it cannot tell.
- ±: the standard deviation over sets of pictures of different seeds. A difference counts if it exceeds twice its standard
  deviation, of which that between trainings (of the base and its seeds) is a part; six times, where that is not known.
- Seconds a picture are those of a machine with other work to do: the network calls are the firm figure.
- `real`: the data; its FID and the like are the floor: held-out real pictures, measured like drawn ones.
"""


def section(title: str, folder: Path, names: list[str], claims: list[Claim], pictures: list[str]) -> list[str]:
    """A heading, the claims, the pictures and the tables of some comparisons."""
    lines = [f"\n### {title}\n"]
    if claims:
        lines += ["| claim | verdict | figures |", "|---|---|---|"]
        lines += [f"| {claim.text} | **{claim.verdict}** | {claim.evidence} |" for claim in claims]
    for picture in pictures:
        if (folder / picture).is_file():
            lines += ["", f"![{Path(picture).stem.replace('_', ' ')}](experiments/{folder.name}/{picture})"]
    for name in names:
        if (folder / name / "compare_table.md").is_file():
            lines += ["", (folder / name / "compare_table.md").read_text(encoding="utf-8").strip()]
            lines += ["", source(folder, name)]
    return lines


def source(folder: Path, name: str, output: str = "output.txt") -> str:
    """Where the numbers come from: the files and the command."""
    inside = f"experiments/{folder.name}/{name}"
    command = (folder / name / output).read_text(encoding="utf-8").splitlines()[0].removeprefix("$ ")
    table = f"[table]({inside}/compare_table.csv), " if (folder / name / "compare_table.csv").is_file() else ""
    return f"<sub>{table}[output]({inside}/{output}): `{command}`</sub>"


def part_grid(folder: Path) -> None:
    """EMA, P2 and clipping, each off in turn, in one picture; left as it is where a cell is missing: git holds none."""
    wanted = (
        ("all three", "all_on", "p2"),
        ("without EMA", "ema_off", "p2"),
        ("without P2", "losses", BASE),
        ("without clipping", "clip_off", "p2"),
    )
    sheets = []
    for label, name, model in wanted:
        row = next((row for (found, _), row in Table(folder / name).rows.items() if found == model), None)
        if row is None:
            return
        picture = folder / name / "compare_cells" / f"{row['cell']}.png"
        if not picture.is_file():
            return
        sheets.append(Sheet(label, row["sampler"], "1", read_png(picture)))
    save_png(folder / "each_off.png", labelled_grid(sheets, len(sheets)))


def interpolations(folder: Path) -> list[str]:
    """The smoothness that `--test_mode interpolate` printed, and the smoothest of the pictures."""
    rows, ratios = [], {}
    for mode, steps in INTERPOLATIONS:
        name = f"interpolate/{mode}_{steps}"
        if not (folder / name / "output.txt").is_file():
            continue
        text = (folder / name / "output.txt").read_text(encoding="utf-8")
        mean, largest = re.search(r"all: mean ([0-9.]+), largest ([0-9.]+)", text).groups()
        ratios[name] = float(largest) / float(mean)
        link = f"[output](experiments/{folder.name}/{name}/output.txt)"
        rows.append(f"| `{mode}` | {steps} | {mean} | {largest} | {ratios[name]:.1f} | {link} |")
    if not rows:
        return []
    smoothest = min(ratios, key=ratios.get)
    verdict = HOLDS if min(ratios.values()) > JUMP else FAILS if max(ratios.values()) <= JUMP else OPEN
    said = f"the largest change is {min(ratios.values()):.1f} to {max(ratios.values()):.1f} times the mean one"
    claim = Claim("What lies between two pictures changes with a jump, not evenly", verdict, said)
    lines = section("Interpolation", folder, [], [claim], [])
    lines += [
        "",
        "How much a picture differs from the next on the way between two real ones (root mean square, of 0 to 1): the mean",
    ]
    lines += ["over the way, and the largest, both averaged over 10 pairs, with `DDIM_50_0p0`.", ""]
    lines += ["| mixture | steps of noise | mean | largest | ratio | |", "|---|---|---|---|---|---|", *rows]
    lines += ["", source(folder, smoothest)]
    for picture in sorted((folder / smoothest).glob("*_interpolate.png")):
        lines += [
            "",
            f"The one with the smallest ratio:\n\n![{smoothest}](experiments/{folder.name}/{smoothest}/{picture.name})",
        ]
    return lines


def bounds(folder: Path) -> list[str]:
    """Bits a dimension by variant, with the part of the steps of least noise."""
    rows = []
    for name in (BASE, *BOUNDS):
        path = folder / "likelihood" / f"{name}_likelihood.json"
        if path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            figures, strata = record["bits_per_dimension"], record["protocol"]["strata"]
            low = figures["decoder"] + sum(
                term * (last - first + 1) for term, (first, last) in zip(figures["terms"], strata) if last < LOW
            )
            cells = f"{figures['mean']:.3f} ± {figures['standard_error']:.3f} | {low:.3f}"
            rows.append(f"| {name} | {cells} | [record](experiments/{folder.name}/likelihood/{path.name}) |")
    if not rows:
        return []
    return [
        f"\nBits a dimension, at most, of {BOUND_PICTURES} held-out pictures (mean and standard error over them), and how many",
        f"of them the first {LOW} of the timesteps take, where the noise is less than a few grey values:\n",
        f"| variant | bits a dimension | of them at t < {LOW} | |\n|---|---|---|---|",
        *rows,
        "",
        source(folder, "likelihood", f"{BASE}.txt"),
    ]


def data_page(folder: Path) -> list[str]:
    """All that was found with one data set."""
    data = of_data(folder.name)
    settings = load_settings(str(ROOT / "config.yaml"), folder.name, data.settings)
    colour, size = settings.data.image_channel == 3, settings.data.image_size
    tables = {name: Table(folder / name) for group in COMPARISONS.values() for name in group}  # empty if it was not run
    mistake = folder / "mistake" / "mistake.json"
    wrong = json.loads(mistake.read_text(encoding="utf-8"))["figures"] if mistake.is_file() else {}
    model = Path(data.checkpoint).stem if data.checkpoint else BASE
    lines = [f"\n## {folder.name}: {size}x{size}, {'colour' if colour else 'grey'}"]
    if tables["losses"].rows:
        found = {int(row["step"]) for row in tables["losses"].rows.values() if row.get("step")}
        if found:
            steps = ", ".join(f"{count:,}" for count in sorted(found))
            lines.append(f"\nEach variant was trained for {steps} steps of {settings.train.batch_size} pictures.")
        claims = loss_claims(tables["losses"], tables["seeds"], colour)
        pictures = ["losses/compare_grid.png", "seeds/compare_grid.png"]
        lines += section("L1 and L2, linear and cosine", folder, ["losses", "seeds"], claims, pictures)
    names = list(COMPARISONS["samplers"])
    if wrong or any(tables[name].rows for name in names):
        claims = sampler_claims(*(tables[name] for name in names), model, wrong)
        pictures = ["few_steps/compare_grid.png", "few_steps/compare_plot.png"]
        pictures += [f"{name}/compare_grid.png" for name in names[1:]]
        lines += section(f"Samplers and steps, with `{model}`", folder, names, claims, pictures)
    if wrong:
        lines += [
            "",
            "Why DDPM of few steps is often noise: the posterior of one step, taken at strided times, removes too little.",
        ]
        lines += ["The posterior of the whole jump, which is what `DDPM_50_0p0` takes here, does not.", ""]
        lines += [
            f"![the common mistake](experiments/{folder.name}/mistake/mistake.png)",
            "",
            source(folder, "mistake"),
        ]
    if tables["all_on"].rows:
        part_grid(folder)
        names = list(COMPARISONS["each_off"])
        claims = each_off_claims(tables["losses"], tables["seeds"], *(tables[name] for name in names))
        lines += section("EMA, P2 and clipping, each off in turn", folder, names, claims, ["each_off.png"])
    if tables["parts"].rows:
        names = list(COMPARISONS["parts"])
        claims = part_claims(tables["losses"], tables["seeds"], *(tables[name] for name in names))
        lines += section("Other parts", folder, names, claims, ["parts/compare_grid.png"])
        lines += bounds(folder)
    return lines + interpolations(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path, metavar="FOLDER", help="docs/experiments; the page is written beside it")
    output = parser.parse_args().output
    lines = [HEAD]
    for folder in sorted(
        (path for path in output.iterdir() if path.is_dir()), key=lambda path: path.name != "Mnist_Mini"
    ):
        lines += data_page(folder)
    page = output.with_name(f"{output.name}.md")
    with atomic_write(page) as temporary:
        temporary.write_text("\n".join(lines).replace("](experiments/", f"]({output.name}/") + "\n", encoding="utf-8")
    print(f"Wrote:   {page.absolute()}")


if __name__ == "__main__":
    main()
