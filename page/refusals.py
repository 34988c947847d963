"""What is wrong with a visitor's request, in English and in Chinese.

What the page itself refuses is in REFUSALS. What the core says of a sampler is put into Chinese by REASONS; whatever else it
says stays English, after a Chinese word.
"""

import re

from diffusion.sample_info import METHODS, TUNED
from diffusion.schedules import SPACINGS
from page.words import LANGUAGES, say
from utils.errors import RequestError

# As `words.WORDS`. {control} is what a control of the page is called there.
REFUSALS = {
    "whole": (
        "{control}: a whole number from {least:,} to {most:,}, please",
        "{control}：请输入 {least:,} 到 {most:,} 之间的整数",
    ),
    "number": ("{control}: a number, please", "{control}：请输入一个数"),
    "share": ("{control}: above 0, and 1 at the most", "{control}：须大于 0，且不超过 1"),
    "no_checkpoint": ("there is no checkpoint {name!r} here", "这里没有检查点 {name!r}"),
    "no_run": ("there is no training {name!r} here", "这里没有训练 {name!r}"),
    "precision": ("the precision is one of {precisions}", "精度须为 {precisions} 之一"),
    "too_large": (
        "{name} draws {side} pixels a side; this page allows {most}",
        "{name} 的图像边长为 {side} 像素；本页最多允许 {most}",
    ),
    "sampler": ("the sampler is a string, as in DDIM_50_0p0", "采样器是一个字符串，例如 DDIM_50_0p0"),
    "too_many_steps": (
        "{info} takes {steps:,} steps; this page allows {most:,}",
        "{info} 共需 {steps:,} 步；本页最多允许 {most:,} 步",
    ),
    "resamples": (
        "{info}: _r{resamplings} is for filling in pictures; leave it out here",
        "{info}：_r{resamplings} 只用于修补图像，请去掉",
    ),
    "adds_noise": (
        "ddim needs a sampler that adds no noise, such as DDIM_{steps}_0p0, not {info}",
        "ddim 需要不加噪声的采样器，例如 DDIM_{steps}_0p0，而不是 {info}",
    ),
    "student": (
        "ddim needs a network that takes small steps, and {name} is a student: take its teacher",
        "ddim 需要走小步的网络，而 {name} 是学生网络：请改用它的教师",
    ),
    "too_much": (
        "{pictures:,} pictures of {calls:,} network calls each are {all:,}; this page allows {most:,}: take fewer pictures or "
        "fewer steps",
        "{pictures:,} 张图 × 每张 {calls:,} 次网络调用，共 {all:,} 次；本页最多允许 {most:,} 次：请减少张数或步数",
    ),
    "no_memory": (
        "the machine has too little memory for that: take fewer pictures",
        "计算机内存不足：请减少张数",
    ),
    "class_list": ("the class is one of those in the list", "类别须为列表中的一项"),
    "no_classes": (
        "this checkpoint was trained without classes: leave the class out",
        "该检查点训练时没有类别：请不要选择类别",
    ),
    "no_class": (
        "there is no class {label!r}; the classes are 0 to {last}, or their names",
        "没有类别 {label!r}；类别为 0 到 {last}，或其名称",
    ),
    "no_row": (
        "write a sampler, such as DDIM_50_0p0, into one row or more",
        "请至少在一行中写入采样器，例如 DDIM_50_0p0",
    ),
    "ways": ("choose one of {modes}, or several", "请选择 {modes} 中的一种或多种"),
    "no_pictures": (
        "the pictures of {name}, on which this checkpoint was trained, are not on this machine",
        "本机上没有该检查点的训练数据（{name}）",
    ),
    "no_picture": (
        "there is no picture yet: take one from the data, by its seed or from a file",
        "还没有图像：请从数据集、按种子或从文件中取一张",
    ),
    "other_size": (
        "the picture is not of this checkpoint's size, {height} x {width}: take it anew",
        "图像的大小与该检查点不符（{height} x {width}）：请重新取一张",
    ),
    "other_class": (
        "the picture's class is none of this checkpoint's: take it anew",
        "图像的类别不属于该检查点：请重新取一张",
    ),
    "nothing_marked": (
        "mark what is to be filled in first: choose Mark, and paint over it",
        "请先标记待填充处：选择“标记待填充处”，然后在图上涂抹",
    ),
    "all_marked": (
        "everything is marked, so that nothing is known of the picture: that is what Draw is for",
        "整张图都被标记了，没有保留任何内容：请改用“生成”",
    ),
    "large_log": (
        "the log of {name} is larger than {most} MiB: see it in TensorBoard",
        "{name} 的日志超过 {most} MiB：请用 TensorBoard 查看",
    ),
}

RULE = (
    "写法为 方法_步数_ETA，小数点写作 p，例如 DDIM_50_0p0；之后可加 _间隔（"
    f"{'、'.join(SPACINGS)}、{TUNED}）、_cfg引导强度，例如 _cfg1p5，或 _cfg1p5t200t800（只在时间步 200 到 800 引导）；"
    f"修补图像时还可加 _rN，每步重复 N 次，例如 _r5；方法有：{'、'.join(METHODS)}"
)
# What `sampling.parse_sampler` says -> the same in Chinese.
REASONS = {
    r"sample_info (.*) cannot be read; it is written .*": r"\1 无法识别；" + RULE,
    r"sample_info (.*) names an unknown method, (\w*); .*": r"\1 中的方法 \2 不存在；" + RULE,
    r"sample_info (.*) asks for no steps; .*": r"\1 的步数为 0；" + RULE,
    r"sample_info (.*) has an eta of (\S*), outside .*": r"\1 的 eta 为 \2，须在 0p0 到 1p0 之间；" + RULE,
    r"sample_info (.*) has an eta of (\S*), and (\w*) is .*": r"\1 的 eta 为 \2，而 \3 不加噪声，只能是 0p0；" + RULE,
    r"sample_info (.*) names an unknown spacing, (\w*); .*": r"\1 中的间隔 \2 不存在；" + RULE,
    r"sample_info (.*) has a scale of guidance of (\S*), above (\S*); .*": r"\1 的引导强度为 \2，不能超过 \3；" + RULE,
    r"sample_info (.*) guides in an interval that ends .*": r"\1 的引导区间的终点在起点之前；" + RULE,
    r"sample_info (.*) takes each step (\d*) times, outside 1 to (\d*); .*": r"\1 每步重复 \2 次，须为 1 到 \3 次；"
    + RULE,
    r"the number of sampling steps must be from 1 to the (\d*) of training, not (\d*)": r"步数须为 1 到训练的 \1 步，而不是 \2",
    r"(\S*) asks for guidance, and .*: leave it at (\S*)": r"\1 需要引导，而该网络训练时没有类别：请用 \2",
    r"(\S*) guides at timesteps to (\d*); the last is (\d*)": r"\1 引导到时间步 \2，而最后一个时间步是 \3",
    r"(\S*): no timesteps were tuned for (\S*); there are none; .*": r"\1：没有为 \2 学习过时间步",
    r"(\S*): no timesteps were tuned for (\S*); there are those of (.*); .*": r"\1：没有为 \2 学习过时间步；已有的是 \3",
    r"(\S*) draws from a student of consistency, .*": r"\1 只能用于学生网络，而该网络不是：请用 DDIM、DPMPP 等",
    r"(\S*) asks for guidance, and a student .*": r"\1 需要引导，而学生网络不再引导：请去掉 _cfg",
    r"(\S*) cannot draw from a student of train.student \w*: it takes (.*)": r"\1 不能用于该学生网络；可用的有 \2",
}


class Refused(RequestError):
    """A request that cannot be met, and why, in each of `LANGUAGES`; as text it is English."""

    def __init__(self, *texts: str):
        super().__init__(texts[0])
        self.texts = texts


def refused(key: str, *, control: str = "", **values: object) -> Refused:
    """What stands in REFUSALS, with the values filled in; `control` is a key of `words.WORDS`."""
    named = [{"control": say(control, language)} if control else {} for language in LANGUAGES]
    return Refused(*(text.format(**values, **names) for text, names in zip(REFUSALS[key], named)))


def refused_sampler(reason: str) -> Refused:
    """What `sampling.parse_sampler` says of a sampler."""
    for pattern, chinese in REASONS.items():
        if (match := re.fullmatch(pattern, reason, re.DOTALL)) is not None:
            return Refused(reason, match.expand(chinese))
    return Refused(reason, _in_chinese(reason))


def told(error: Exception, language: str) -> str:
    """What is wrong, in that language."""
    if isinstance(error, Refused):
        return error.texts[LANGUAGES.index(language)]
    return str(error) if language == "en" else _in_chinese(str(error))


def _in_chinese(text: str) -> str:
    return f"无法完成：{text}"
