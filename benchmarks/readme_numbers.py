"""Which number of which page stands in which record: what `python -m benchmarks.readme_tables` fills in."""

import re
from typing import NamedTuple


class Number(NamedTuple):
    """A number on a page: `place` is a regular expression whose one group it is, `key` where its record has it, with dots; in a
    list of rows, a word is that of one of its columns.

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
GPU_FIGURES = (  # record, key, pattern, in the order of ON_GPU
    (GPU[1], PEERS[0], ".1f"),
    (GPU[0], PEERS[1], ".0f"),
    (GPU[0], PEERS[0], ".1f"),
    (GPU[0], PEERS[1], ".1f"),
    (GPU[0], BEST[0], ".1f"),
    (GPU[0], BEST[1], ".1f"),
    (GPU[1], PEERS[0], ".1f"),
    (GPU[1], PEERS[1], ".1f"),
    (GPU[1], BEST[0], ".1f"),
    (GPU[1], BEST[1], ".1f"),
    FASTER,
)
ON_GPU = {  # by page: where they stand
    "README.md": (
        "digits' network, ([^ ]+) to",
        "digits' network, [^ ]+ to ([^ ]+) times",
        "is trained on ([^ ]+) and",
        "is trained on [^ ]+ and ([^ ]+) times",
        "peers' defaults, ([^ ]+) and",
        "peers' defaults, [^ ]+ and ([^ \n]+)\\s",
        "and draws ([^ ]+) and",
        "and draws [^ ]+ and ([^ ]+) times",
        "and draws [^ ]+ and [^ ]+ times as many, ([^ ]+) and",
        "times as many, [^ ]+ and ([^ ]+) at their\\sbest",
        "`DPMPP_20` draws ([^ ]+) times as fast",
    ),
    "README_zh.md": (
        "数字的网络时为 ([^ ]+) 到",
        "数字的网络时为 [^ ]+ 到 ([^ ]+) 倍",
        "张）是同类项目默认设置的 ([^ ]+) 倍和",
        "张）是同类项目默认设置的 [^ ]+ 倍和 ([^ ]+) 倍",
        "编译）的\\s([^ ]+) 倍和",
        "编译）的\\s[^ ]+ 倍和 ([^ ]+) 倍",
        "采样分别是 ([^ ]+) 倍和",
        "采样分别是 [^ ]+ 倍和 ([^ ]+) 倍",
        "对其最佳设置为 ([^ ]+) 倍和",
        "对其最佳设置为 [^ ]+ 倍和 ([^ ]+) 倍",
        "采样速度是 `DDPM_1000` 的 ([^ ]+) 倍",
    ),
}
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
        *((place, *of) for place, of in zip(ON_GPU["README.md"], GPU_FIGURES, strict=True)),
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
        *((place, *of) for place, of in zip(ON_GPU["README_zh.md"], GPU_FIGURES, strict=True)),
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
