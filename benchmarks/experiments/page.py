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

from benchmarks.experiments.claims import Claim, Table, loss_claims, part_claims, sampler_claims  # noqa: E402
from benchmarks.experiments.table import BASE, INTERPOLATIONS, of_data  # noqa: E402
from utils.config import load_settings  # noqa: E402
from utils.evaluation.sheets import Sheet, labelled_grid  # noqa: E402
from utils.files import written_whole  # noqa: E402
from utils.pictures import read_png, save_png  # noqa: E402

HEAD = """# The experiments

What the [seed page](https://github.com/Georgeqi/) compares by eye, with figures beside the pictures. This page, its pictures and its
figures are written by

```bash
bash run_experiments.sh
```

which trains small networks for minutes each, on equal budgets, and goes on where it was stopped; `DATA_NAMES=Cifar10 STEPS=100000
PICTURES=1000 bash run_experiments.sh` runs the same on another data set. What is trained is one table,
[benchmarks/experiments/table.py](../benchmarks/experiments/table.py). **Only what is shown here was run**: minutes on a CPU, so a
verdict is one at this budget.

How to read it: FID, KID, precision and recall are of a small digit classifier's features, not of Inception's, and of few pictures:
they compare rows of one table with each other, not with papers or with tables of another number of pictures. `confident` is the
share of digits that the classifier reads with more than 0.99. `edges` (mean difference of neighbouring pixels), `grain` (root mean
square difference from the 3x3 median) and `chroma` (largest minus smallest channel) are of the pixels, from 0 to 1. ± is the standard
deviation over lots of pictures of different seeds. A difference counts as one if it exceeds twice its standard deviation, where the
spread between trainings of different seeds, if measured, is part of it. `real` is the data: its pixels, and the floor, held-out real
pictures measured like drawn ones.
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


def source(folder: Path, name: str) -> str:
    """Where the numbers come from: the files and the command."""
    inside = f"experiments/{folder.name}/{name}"
    command = (folder / name / "output.txt").read_text(encoding="utf-8").splitlines()[0].removeprefix("$ ")
    table = (
        f"[table]({inside}/compare_table.csv), [cells]({inside}/compare_cells), "
        if (folder / name / "compare_table.csv").is_file()
        else ""
    )
    return f"<sub>{table}[output]({inside}/output.txt): `{command}`</sub>"


def part_grid(folder: Path) -> None:
    """EMA, P2 and clipping, each off in turn, in one picture."""
    wanted = (
        ("all three", "parts", "p2"),
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
        sheets.append(Sheet(label, row["sampler"], "1", read_png(picture)))
    save_png(folder / "each_off.png", labelled_grid(sheets, len(sheets)))


def interpolations(folder: Path) -> list[str]:
    """The smoothness that `--test_mode interpolate` printed."""
    lines = [
        "\n### Interpolation\n",
        "How much a picture differs from the next on the way between two real ones (root mean square, of 0 to 1),",
    ]
    lines += [
        "averaged over 10 pairs, `DDIM_50_0p0`.",
        "",
        "| mixture | steps of noise | mean | largest | |",
        "|---|---|---|---|---|",
    ]
    found = []
    for mode, steps in INTERPOLATIONS:
        name = f"interpolate/{mode}_{steps}"
        if not (folder / name / "output.txt").is_file():
            continue
        text = (folder / name / "output.txt").read_text(encoding="utf-8")
        mean, largest = re.search(r"all: mean ([0-9.]+), largest ([0-9.]+)", text).groups()
        found.append((float(largest), f"`{mode}` at {steps}", float(mean), name))
        lines.append(f"| `{mode}` | {steps} | {mean} | {largest} | {source(folder, name)} |")
    if not found:
        return []
    half = [row for row in found if row[1].endswith("500")]
    smoothest = min(half or found)
    lines += [
        "",
        f"The seed page saw a jump in the middle: it **holds**, the largest change is {smoothest[0] / smoothest[2]:.1f} times the mean one",
    ]
    lines += [f"with {smoothest[1]}, and {max(row[0] / row[2] for row in found):.1f} times at most."]
    for picture in sorted((folder / Path(smoothest[3])).glob("*_interpolate.png")):
        lines += ["", f"![{smoothest[1].replace('`', '')}](experiments/{folder.name}/{smoothest[3]}/{picture.name})"]
    return lines


def data_page(folder: Path) -> list[str]:
    """All that was found with one data set."""
    data_name = folder.name
    settings = load_settings(str(ROOT / "config.yaml"), data_name, of_data(data_name).settings)
    colour = settings.data.image_channel == 3
    table = {path.name: Table(path) for path in folder.iterdir() if path.is_dir()}
    none = Table(folder / "none")
    get = lambda name: table.get(name, none)  # noqa: E731
    mistake = folder / "mistake" / "mistake.json"
    wrong = json.loads(mistake.read_text(encoding="utf-8"))["figures"] if mistake.is_file() else {}
    checkpoint = of_data(data_name).checkpoint
    model = Path(checkpoint).stem if checkpoint else BASE
    size = settings.data.image_size
    lines = [f"\n## {data_name}: {size}x{size}, {'colour' if colour else 'grey'}"]
    losses = get("losses")
    if losses.rows:
        lines += section(
            "L1 and L2, linear and cosine", folder, ["losses"], loss_claims(losses, colour), ["losses/compare_grid.png"]
        )
    names = ["few_steps", "middle_steps", "many_steps"]
    if any(get(name).rows for name in names) or wrong:
        claims = sampler_claims(*(get(name) for name in names), model, wrong)
        pictures = [f"{name}/compare_grid.png" for name in names]
        pictures.insert(1, "few_steps/compare_plot.png")
        lines += section(f"Samplers and steps, with `{model}`", folder, names, claims, pictures)
    if wrong:
        lines += [
            "",
            "Why few-step DDPM is often called noise: the posterior of a single step, taken at strided times, removes too little. The",
        ]
        lines += [
            "posterior of the whole jump does not.",
            "",
            f"![the common mistake](experiments/{data_name}/mistake/mistake.png)",
            "",
            source(folder, "mistake"),
        ]
    if get("parts").rows:
        part_grid(folder)
        claims = part_claims(losses, *(get(name) for name in ("parts", "ema_off", "clip_off", "variance")))
        lines += section(
            "EMA, P2, clipping, and other parts", folder, ["parts", "ema_off", "clip_off", "variance"], claims,
            ["each_off.png", "parts/compare_grid.png"],
        )  # fmt: skip
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
    with written_whole(page) as temporary:
        temporary.write_text("\n".join(lines).replace("](experiments/", f"]({output.name}/") + "\n", encoding="utf-8")
    print(f"Wrote:   {page.absolute()}")


if __name__ == "__main__":
    main()
