"""Writes the tables and numbers of the READMEs (checkpoints/, too) and docs/*.md from the records that the programs left:

    python -m benchmarks.readme_tables

A table stands between a comment and `<!-- end -->`; what was there before is replaced. The comment says which table, of which
records:

    <!-- from docs/A.json docs/B.json -->                 all figures, a row a record
    <!-- by class from docs/A.json -->                    a row a class that was asked for, and one for all
    <!-- same seeds from docs/A.json docs/B.json -->      the mean FID of the seeds that all have, beside the last record's
    <!-- interpolation from docs/experiments/NAME.json -->     the study's interpolations

Numbers in sentences and in tables that are written by hand are named in NUMBERS. So two pages never say different things of
one record: tests/benchmarks/test_readme_tables.py runs this, too.
"""

import json
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evaluation.record import markdown, markdown_by_class

ROOT = Path(__file__).resolve().parents[1]
DOCS = tuple(f"docs/{path.name}" for path in sorted(ROOT.glob("docs/*.md")))
PAGES = ("README.md", "README_zh.md", "checkpoints/README.md", *DOCS)
TABLE = re.compile(r"(<!-- (by class |same seeds |interpolation )?from ([^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


class Number(NamedTuple):
    """A number on a page: `place` is a regular expression whose one group it is, `key` where its record has it, with dots; in a
    list of rows, a word is the contestant of one.

    What the key leads to is a number, or has a mean with a standard error or a standard deviation. `pattern`: a format.
    """

    page: str
    place: str
    record: str
    key: str
    pattern: str


DIGITS = "docs/mnist_mini_DPMPP_50_1p0_cfg1p2t200t999_evaluate.json"
PLAIN = ("docs/mnist_mini_DPMPP_20_0p0_evaluate.json", "docs/mnist_mini_v_DPMPP_20_0p0_evaluate.json")
BITS = ("docs/mnist_mini_likelihood.json", "docs/mnist_mini_v_likelihood.json")
AGAIN = ("docs/mnist_mini_DDIM_50_0p0_reconstruct.json", "docs/mnist_mini_v_DDIM_50_0p0_reconstruct.json")
STUDENT, EMOJI = "docs/mnist_mini_student_CM_4_0p0_evaluate.json", "docs/emoji_DPMPP_50_1p0_cfg1p5_evaluate.json"
TWENTY = "docs/mnist_mini_DPMPP_20_1p0_cfg1p2t200t999_evaluate.json"
THOUSAND = "docs/mnist_mini_DDPM_1000_0p0_cfg1p2t200t999_evaluate.json"
RECIPE = "docs/Mnist_Mini_DPMPP_20_1p0_cfg1p3t200t999_evaluate.json"
SPEED, SIZES = "benchmarks/results/{}_throughput_cpu_{}.json", ("ddpm", "digits")
PEERS = [f"rows.{peer}, default.ours_times_as_fast" for peer in ("diffusers", "denoising-diffusion-pytorch")]
BEST = [key.replace("default", "best") for key in PEERS]
GPU = [f"benchmarks/results/{work}_throughput_cuda_digits.json" for work in ("train", "sample")]
FASTER = ("benchmarks/results/solvers_cuda.json", "rows.DPMPP_20_0p0.times_as_fast", ".0f")
IN_WORDS = {  # by page: place, record, key, pattern
    "README.md": (
        ("Frechet distance is ([^ ]+ ± [^ ]+) where", DIGITS, "figures.fid", ".2f"),
        ("real ones have ([^ ]+), and", DIGITS, "floor.figures.fid.mean", ".2f"),
        ("and ([^ ]+ %) are read with confidence", DIGITS, "figures.confident.mean", ".0%"),
        ("of real ones ([^ ]+ %)", DIGITS, "floor.figures.confident.mean", ".0%"),
        ("right in ([^ ]+ %) of its cases", DIGITS, "told_apart.accuracy", ".0%"),
        ("a distance of ([^ ]+) beside", TWENTY, "figures.fid.mean", ".3f"),
        ("beside ([^ ]+), of one set of 1,000 digits", THOUSAND, "figures.fid.mean", ".3f"),
        ("of one core is at ([^ ]+) where", RECIPE, "figures.fid.mean", ".2f"),
        (r"real ones \(500\) have ([^ ]+),", RECIPE, "floor.figures.fid.mean", ".2f"),
        (r"have [^ ]+, ([^ ]+ %) read with", RECIPE, "figures.confident.mean", ".0%"),
        (r"told apart in\s([^ ]+ %) of the cases", RECIPE, "told_apart.accuracy", ".0%"),
        (r"\| ([0-9.]+) to [^ ]+ times as many", SPEED.format("sample", "digits"), PEERS[0], ".1f"),
        ("to ([^ ]+) times as many", SPEED.format("sample", "digits"), PEERS[1], ".0f"),
        ("digits' network, ([^ ]+) to", GPU[1], PEERS[0], ".1f"),
        ("digits' network, [^ ]+ to ([^ ]+) times", GPU[0], PEERS[1], ".0f"),
        ("is trained on ([^ ]+) and", GPU[0], PEERS[0], ".1f"),
        ("is trained on [^ ]+ and ([^ ]+) times", GPU[0], PEERS[1], ".1f"),
        ("peers' defaults, ([^ ]+) and", GPU[0], BEST[0], ".1f"),
        ("peers' defaults, [^ ]+ and ([^ \n]+)\\s", GPU[0], BEST[1], ".1f"),
        ("and draws ([^ ]+) and", GPU[1], PEERS[0], ".1f"),
        ("and draws [^ ]+ and ([^ ]+) times", GPU[1], PEERS[1], ".1f"),
        ("and draws [^ ]+ and [^ ]+ times as many, ([^ ]+) and", GPU[1], BEST[0], ".1f"),
        ("times as many, [^ ]+ and ([^ ]+) at their\\sbest", GPU[1], BEST[1], ".1f"),
        ("`DPMPP_20` draws ([^ ]+) times as fast", *FASTER),
    ),
    "README_zh.md": (
        ("Frechet 距离为 ([^ ]+ ± [^ ]+)，", DIGITS, "figures.fid", ".2f"),
        ("留出真实数字为 ([^ ]+)；", DIGITS, "floor.figures.fid.mean", ".2f"),
        ("；([^ ]+ %) 的生成数字能以高置信度识别", DIGITS, "figures.confident.mean", ".0%"),
        ("识别，真实数字为 ([^ ]+ %)", DIGITS, "floor.figures.confident.mean", ".0%"),
        ("判断正确率为 ([^ ]+ %)（", DIGITS, "told_apart.accuracy", ".0%"),
        ("距离分别为 ([^ ]+) 和", TWENTY, "figures.fid.mean", ".3f"),
        ("距离分别为 [^ ]+ 和 ([^ \n]+)\n", THOUSAND, "figures.fid.mean", ".3f"),
        ("Frechet 距离为 ([^ ]+)（同样", RECIPE, "figures.fid.mean", ".2f"),
        ("同样 500 张的真实数字为 ([^ ]+)）", RECIPE, "floor.figures.fid.mean", ".2f"),
        ("，([^ ]+ %) 识别有把握", RECIPE, "figures.confident.mean", ".0%"),
        ("区分真假的正确率为 ([^ ]+ %)；该配方", RECIPE, "told_apart.accuracy", ".0%"),
        ("默认设置的 ([^ ]+) 到", SPEED.format("sample", "digits"), PEERS[0], ".1f"),
        ("默认设置的 [^ ]+ 到 ([^ ]+) 倍", SPEED.format("sample", "digits"), PEERS[1], ".0f"),
        ("数字的网络时为 ([^ ]+) 到", GPU[1], PEERS[0], ".1f"),
        ("数字的网络时为 [^ ]+ 到 ([^ ]+) 倍", GPU[0], PEERS[1], ".0f"),
        ("张）是同类项目默认设置的 ([^ ]+) 倍和", GPU[0], PEERS[0], ".1f"),
        ("张）是同类项目默认设置的 [^ ]+ 倍和 ([^ ]+) 倍", GPU[0], PEERS[1], ".1f"),
        ("编译）的\\s([^ ]+) 倍和", GPU[0], BEST[0], ".1f"),
        ("编译）的\\s[^ ]+ 倍和 ([^ ]+) 倍", GPU[0], BEST[1], ".1f"),
        ("采样分别是 ([^ ]+) 倍和", GPU[1], PEERS[0], ".1f"),
        ("采样分别是 [^ ]+ 倍和 ([^ ]+) 倍", GPU[1], PEERS[1], ".1f"),
        ("对其最佳设置为 ([^ ]+) 倍和", GPU[1], BEST[0], ".1f"),
        ("对其最佳设置为 [^ ]+ 倍和 ([^ ]+) 倍", GPU[1], BEST[1], ".1f"),
        ("采样速度是 `DDPM_1000` 的 ([^ ]+) 倍", *FASTER),
    ),
    "checkpoints/README.md": (
        ("digits have an FID of ([^ ]+),", DIGITS, "floor.figures.fid.mean", ".2f"),
        (r"real emoji a KID of ([^ ]+)\. ±", EMOJI, "floor.figures.kid.mean", ".4f"),
    ),
    "docs/results.md": (
        ("have a standard deviation of ([^ ]+) where noise has 1", AGAIN[1], "latents.std", ".2f"),
        ("A KID of ([^ ]+) says little by itself", EMOJI, "figures.kid.mean", ".3f"),
    ),
    "docs/results_zh.md": (
        ("v 的隐变量的标准差为 ([^ ]+)，而噪声为 1", AGAIN[1], "latents.std", ".2f"),
        ("单独看 ([^ ]+) 的 KID 说明不了什么", EMOJI, "figures.kid.mean", ".3f"),
    ),
}
IN_TABLE = {  # by page: the titles of the rows that ROWS fills
    "docs/results.md": (
        "Frechet distance of 1,000 digits by `DPMPP_20_0p0`",
        "bits a dimension, at most",
        "of them t = 0, the grey values",
        "of them the steps from T - 1 to 1",
        "PSNR of ten training digits, encoded and drawn again by `DDIM_50_0p0`",
    ),
    "docs/results_zh.md": (
        "`DPMPP_20_0p0` 生成的 1,000 个数字的 Frechet 距离",
        "每维比特数上界",
        "其中 t = 0（灰度值）",
        "其中 T - 1 到 1 各步",
        "十个训练数字编码后由 `DDIM_50_0p0` 再生成的 PSNR",
    ),
}
ROWS = (  # a record a column, key, pattern
    (PLAIN, "figures.fid", ".3g"),
    (BITS, "bits_per_dimension", ".3f"),
    (BITS, "bits_per_dimension.decoder", ".3f"),
    (BITS, "bits_per_dimension.divergences", ".3f"),
    (AGAIN, "figures.psnr.mean", ".1f"),
)
IN_SPEED = {  # by page: the titles of a row for each size, and of the row below it
    "README.md": (("training, the 35.7M-parameter network, 32x32", "training, `Mnist_Mini`'s network"), "drawing from it"),
    "README_zh.md": (("训练，35.7M 参数的网络，32x32", "训练，`Mnist_Mini` 的网络"), "用它采样"),
}
SHIPPED = (  # a row of checkpoints/README.md: the file, its record, the figure
    ("mnist_mini", DIGITS, "FID"),
    ("mnist_mini_student", STUDENT, "FID"),
    ("mnist_mini_v", PLAIN[1], "FID"),
    ("emoji", EMOJI, "KID"),
)
OF_SHIPPED = {  # by figure ("": any): what stands before and behind a number, key, pattern
    "FID": (("FID ", " of", "figures.fid", ".2f"), (r"FID [^|]* of ", " digits", "protocol.pictures", ",")),
    "KID": (("KID ", " of", "figures.kid", ".4f"), (r"KID [^|]* of ", " emoji", "protocol.pictures", ",")),
    "": (("told apart ", r" \(", "told_apart.accuracy", ".0%"),),
}
OTHER_CELL = r" [^|]* \|"
NUMBERS = (
    *(Number(page, *of) for page, numbers in IN_WORDS.items() for of in numbers),
    *(
        Number(page, rf"\| {re.escape(title)} \|{OTHER_CELL * column} ([^|]*?)(?: dB)? \|", record, key, pattern)
        for page, titles in IN_TABLE.items()
        for title, (records, key, pattern) in zip(titles, ROWS, strict=True)
        for column, record in enumerate(records)
    ),
    *(
        Number("checkpoints/README.md", rf"\| `{name}\.safetensors` \|[^\n]*{before}([^|(]+?){behind}", record, key, pattern)
        for name, record, figure in SHIPPED
        for before, behind, key, pattern in (*OF_SHIPPED[figure], *OF_SHIPPED[""])
    ),
    *(
        Number(page, rf"\| {re.escape(title)} \|{below}{OTHER_CELL * column} ([^|]*) \|", SPEED.format(work, size), key, ".1f")
        for page, (titles, title_below) in IN_SPEED.items()
        for title, size in zip(titles, SIZES)
        for work, below in (("train", ""), ("sample", rf"[^\n]*\n\| {title_below} \|"))
        for column, key in enumerate(PEERS)
    ),
)


def filled(page: str, name: str = "") -> str:
    """The text of the page `name` with every table and number made anew from its record.

    ValueError if a number of NUMBERS is not found, or in two places: its sentence was written anew.
    """

    def table(found: re.Match[str]) -> str:
        records = [read(name) for name in found[3].split()]
        match (found[2] or "").strip():
            case "by class":
                made = "\n".join(map(markdown_by_class, records))
            case "same seeds":
                made = same_seeds(records)
            case "interpolation":
                made = interpolation_table(*records)
            case _:
                made = markdown(records)
        return f"{found[1]}{made}{found[4]}"

    page = TABLE.sub(table, page)
    for number in NUMBERS:
        if number.page == name:
            found = list(re.finditer(number.place, page))
            if len(found) != 1:
                raise ValueError(f"{name} has {len(found)} places for {number.place!r}, a number of NUMBERS")
            page = page[: found[0].start(1)] + text_of(number) + page[found[0].end(1) :]
    return page


def read(name: str) -> dict:
    """A record."""
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


def text_of(number: Number) -> str:
    """As the page shows it: 0.21 ± 0.11, or 95 %."""
    value = read(number.record)
    for word in number.key.split("."):
        value = next(row for row in value if word in row.values()) if isinstance(value, list) else value[word]
    parts = [value]
    if isinstance(value, dict):
        error = value["standard_error"] if "standard_error" in value else value["std"]
        parts = [value["mean"]] + ([] if error is None else [error])
    return " ± ".join(format(part, number.pattern) for part in parts).replace("%", " %")


def interpolation_table(record: dict) -> str:
    """Markdown: how evenly the study's interpolations change, mean and standard deviation over the trainings."""
    lines = ["| drawn by | trainings | mean change | largest | largest over mean |", "|---|---|---|---|---|"]
    for key, trainings in record["cells"].items():
        runs = list(trainings.values())
        if "jump" in runs[0]:
            of = [[run[name] for run in runs] for name in ("mean_change", "largest_change", "jump")]
            shown = [
                f"{statistics.fmean(each):.3f}" + (f" ± {statistics.stdev(each):.3f}" if len(each) > 1 else "")
                for each in of
            ]
            lines.append(f"| `{key.split(', ')[1]}` | {len(runs)} | {' | '.join(shown)} |")
    return "\n".join(lines if len(lines) > 2 else ["Not yet measured: `bash run_experiments.sh`."]) + "\n"


def same_seeds(records: Sequence[dict[str, Any]]) -> str:
    """Markdown: the mean FID of the first sets of pictures, as many as all records have, and how many times the last record's
    it is.

    ValueError unless these sets are of the same seeds, measured alike.
    """
    sets = min(record["protocol"]["repeats"] for record in records)
    firsts = [record["protocol"] | {"seeds": record["protocol"]["seeds"][:sets], "repeats": sets} for record in records]
    if any(first != firsts[-1] for first in firsts):
        raise ValueError(f"the first sets of {[record['sampler'] for record in records]} are not measured alike")
    fids = [statistics.mean(record["figures"]["fid"]["each"][:sets]) for record in records]
    (low, _), (_, high) = firsts[-1]["seeds"][0], firsts[-1]["seeds"][-1]
    of = f"seeds {low} to {high}" + (f" in {sets} sets" if sets > 1 else "")
    lines = [f"| sampler | calls | fid, {of} | times that of {records[-1]['sampler']} |", "|---|---|---|---|"]
    for record, fid in zip(records, fids):
        lines.append(f"| {record['sampler']} | {record['network_calls']:,} | {fid:.3g} | {fid / fids[-1]:.2f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Rewrites the pages, and says which of them changed."""
    for name in PAGES:
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = filled(before, name)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"Wrote: {path}")


if __name__ == "__main__":
    main()
