"""What the page says of a request that cannot be met, in the visitor's language."""

import re
from types import SimpleNamespace

import pytest
import torch

from diffusion.distillation import Student
from page.between import checked_modes
from page.limits import Limits, check_work, classes_within, sampler_within, share, whole
from page.machine import Machine
from page.refusals import REFUSALS, Refused, refused, told
from tests.page.served import offered
from utils.errors import RequestError

TUNED = {"DPMPP_6_0p0": [999, 500, 300, 200, 100, 0]}


def network(num_classes=10, tuned=TUNED, student=None):
    diffusion = SimpleNamespace(timestep_num=1000, tuned_times=tuned)
    return SimpleNamespace(name="it", num_classes=num_classes, diffusion=diffusion, student=student)


def chinese_of(error):
    """Its Chinese text, in which no English sentence is left."""
    assert isinstance(error, Refused) and told(error, "en") == str(error)
    text = told(error, "zh")
    assert re.search(r"[\u4e00-\u9fff]", text) and not re.search(r"[A-Za-z]{2,} [a-z]{2,}", text), text
    return text


@pytest.mark.parametrize(
    "text, trained, words",
    [
        ("DDIM_50", network(), "'DDIM_50' 无法识别；写法为 方法_步数_ETA"),
        ("'; it\n(.*)", network(), "无法识别"),
        ("NONE_50_0p0", network(), "方法 NONE 不存在"),
        ("DDIM_0_0p0", network(), "步数为 0"),
        ("DDIM_50_1p5", network(), "eta 为 1.5，须在 0p0 到 1p0 之间"),
        ("HEUN_50_0p5", network(), "eta 为 0.5，而 HEUN 不加噪声"),
        ("DDIM_50_0p0_even", network(), "间隔 even 不存在"),
        ("DDIM_50_0p0_cfg200p0", network(), "引导强度为 200，不能超过 100"),
        ("DDIM_50_0p0_cfg2p0t9t3", network(), "终点在起点之前"),
        ("DDIM_50_0p0_r0", network(), "每步重复 0 次，须为 1 到 1000 次"),
        ("DDIM_1001_0p0", network(), "步数须为 1 到训练的 1000 步，而不是 1001"),
        ("DDIM_50_0p0_cfg2p0", network(num_classes=0), "请用 DDIM_50_0p0"),
        ("DDIM_50_0p0_cfg2p0t9t1000", network(), "时间步 1000，而最后一个时间步是 999"),
        ("DDIM_5_0p0_tuned", network(tuned={}), "没有为 DDIM_5_0p0 学习过时间步"),
        ("DDIM_5_0p0_tuned", network(), "已有的是 DPMPP_6_0p0"),
        ("CM_2_0p0", network(), "只能用于学生网络"),
        ("CM_2_0p0_cfg1p5", network(student=Student("consistency")), "请去掉 _cfg"),
        ("DDIM_3_0p0", network(student=Student("consistency", 4)), "可用的有 DDIM_4_0p0"),
        ("DDIM_600_0p0", network(), "共需 600 步；本页最多允许 500 步"),
        ("DDIM_50_0p0_r5", network(), "_r5 只用于修补图像"),
        (None, network(), "例如 DDIM_50_0p0"),
    ],
)
def test_why_a_sampler_is_refused_is_said_in_chinese_too(text, trained, words):
    """By patterns of what the core says: one that changes there is missed here."""
    with pytest.raises(Refused) as refusal:
        sampler_within(Limits(steps=500), text, trained)
    assert words in chinese_of(refusal.value)


@pytest.mark.parametrize(
    "ask, english, chinese",
    [
        (lambda: whole(0, 1, 64, "count"), "Pictures: a whole number from 1 to 64", "张数：请输入 1 到 64"),
        (lambda: share(0, "strength"), "Strength of editing: above 0", "编辑强度：须大于 0"),
        (lambda: check_work(Limits(), 64, 1000), "64,000; this page allows 20,000", "共 64,000 次"),
        (lambda: offered().load("nothing"), "no checkpoint 'nothing'", "没有检查点 'nothing'"),
        (lambda: offered().load("mnist_mini", "12"), "no class '12'; the classes are 0 to 9", "没有类别 '12'"),
        (lambda: offered().load("mnist_mini", ["1"]), "one of those in the list", "须为列表中的一项"),
        (lambda: offered().load("mnist_mini", "1", "int4"), "the precision is one of auto", "精度须为 auto"),
        (lambda: classes_within("1", 0, ()), "without classes", "没有类别"),
        (lambda: checked_modes(["ddim"], None, network(student=Student("consistency"))), "it is a student", "学生网络"),
        (lambda: checked_modes([], None, network()), "choose one of lerp, slerp, ddim", "lerp, slerp, ddim"),
        (lambda: checked_modes([["ddim"]], None, network()), "choose one of lerp, slerp, ddim", "lerp, slerp, ddim"),
    ],
)
def test_the_pages_own_refusals_are_in_both_languages(ask, english, chinese):
    with pytest.raises(Refused, match=re.escape(english)) as refusal:
        ask()
    assert chinese in chinese_of(refusal.value)


def test_pictures_that_are_not_here_are_said_without_a_path(tmp_path):
    model = offered().load("mnist_mini")
    gone = model._replace(data=SimpleNamespace(load=lambda progress: refuse(f"there is no folder {tmp_path}")))
    with pytest.raises(Refused, match="Mnist_Mini.*are not on this machine") as refusal:
        gone.pictures()
    assert str(tmp_path) not in str(refusal.value) and "Mnist_Mini" in chinese_of(refusal.value)


def refuse(why):
    raise RequestError(why)


def test_a_lack_of_memory_is_said_to_the_visitor_and_the_next_job_runs():
    def job(tell):
        raise torch.OutOfMemoryError("CUDA out of memory")

    machine = Machine()
    with pytest.raises(Refused, match="too little memory"):
        list(machine.watch("a", job))
    assert list(machine.watch("a", lambda tell: tell(1))) == [1]


def test_what_nobody_has_put_into_chinese_is_told_as_it_is_after_a_chinese_word():
    error = RequestError("the disk is full")
    assert told(error, "en") == "the disk is full" and told(error, "zh") == "无法完成：the disk is full"
    assert told(refused("no_class", label="{last}", last=9), "en").startswith("there is no class '{last}'")
    assert REFUSALS["no_class"][1] != told(refused("no_class", label="a", last=9), "zh")
