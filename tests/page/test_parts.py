"""The parts of the page that need no browser: what is offered, the canvas, the curves, the words."""

import base64
import inspect
import json
import re
import string
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import page
from page.canvas import read, shown
from page.curves import Line, chart
from page.limits import Limits
from page.markup import command, figure, picture_uri, problem
from page.refusals import REFUSALS
from page.words import LANGUAGES, WORDS, language_of, say
from tests.page.served import ROOT, offered
from utils.checkpoints import load_checkpoint, write_checkpoint
from utils.errors import RequestError
from utils.pictures import save_png

SOURCES = {path.name: path.read_text(encoding="utf-8") for path in Path(inspect.getfile(page)).parent.glob("*.*")}


def test_what_is_offered_are_the_checkpoints_by_name_and_nothing_else():
    offer = offered()
    assert sorted(offer.models()) == ["emoji", "mnist_mini", "mnist_mini_student", "mnist_mini_v"]  # and not the digits' extractor
    assert (
        offer.load("mnist_mini") is offer.load("mnist_mini")
        and offer.load("mnist_mini", "3").trained.class_label == "3"
    )
    for name in ("/etc/passwd", "checkpoints/mnist_mini.safetensors", "../checkpoints/emoji", "", None, ["emoji"], 3):
        with pytest.raises(RequestError, match="there is no checkpoint"):
            offer.load(name)
        with pytest.raises(RequestError, match="there is no training"):
            offer.run(name)
    with pytest.raises(RequestError, match="precision"):
        offer.load("mnist_mini", None, "int4")
    with pytest.raises(RequestError, match="28 pixels a side; this page allows 16"):
        offered(limits=Limits(side=16)).load("mnist_mini")


def test_a_named_checkpoint_is_the_only_one_and_a_missing_one_is_said():
    assert list(offered(paths=["checkpoints/mnist_mini.safetensors"]).models()) == ["mnist_mini"]
    with pytest.raises(RequestError, match="no checkpoint"):
        offered(paths=["checkpoints/nothing.safetensors"]).check()


def test_a_checkpoint_neither_says_where_to_write_nor_has_anything_downloaded(tmp_path):
    weights, _, settings, step, classes = load_checkpoint(ROOT / "checkpoints/mnist_mini.safetensors")
    data = settings.data.model_copy(update={"cache_dir": f"{tmp_path}/theirs", "download": True})
    path = tmp_path / "theirs.safetensors"
    write_checkpoint(path, weights, settings.model_copy(update={"data": data}).model_dump_json(), step, classes)
    data = offered(paths=[path]).load("theirs").data
    assert (data.cache_dir, data.download, data.source) == ("data/cache", False, "mnist_mini")


def test_pictures_of_another_precision_do_not_disturb_each_other():
    offer = offered()
    both = [offer.load("mnist_mini", None, precision).trained for precision in ("fp32", "bf16")]
    x = torch.zeros(1, 1, 28, 28)
    exact = [trained.network(x, torch.tensor([500]), torch.tensor([3])) for trained in (both[0], both[1], both[0])]
    assert exact[0].equal(exact[2]) and not exact[0].equal(exact[1])
    assert [trained.precision for trained in both] == ["fp32", "bf16"]


TRAINED = SimpleNamespace(shape=(3, 4, 6), num_classes=2)


def test_a_picture_comes_back_from_the_canvas_as_it_went():
    picture = torch.arange(72, dtype=torch.uint8).view(3, 4, 6)
    value = json.loads(shown(picture, 1))
    value["mask"] = base64.b64encode(bytes(8 * [0] + [1] + 15 * [0])).decode()
    drawn = read(json.dumps(value), TRAINED)
    assert drawn.picture.equal(picture) and drawn.label == 1 and drawn.mask.nonzero().tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": "AAAA"}, {"pixels": "!"}, {"pixels": None}, {"mask": ""}, {"label": 2}, {"label": -1}, {"label": "1"},
        {"label": True}, None,
    ],
)  # fmt: skip
def test_what_is_no_picture_of_this_network_is_refused(change):
    value = json.loads(shown(torch.zeros(3, 4, 6, dtype=torch.uint8), None))
    for text in (json.dumps(value | change) if change else "[" * 10_000, json.dumps([value]), "", None, 3):
        with pytest.raises(RequestError):
            read(text, TRAINED)


def test_a_curve_goes_from_corner_to_corner_and_leaves_out_what_is_not_finite():
    drawn = chart([Line("a<b", [(0, 0), (1, float("nan")), (2, 10)], [(2, 10)], (0, 0))], "title", "x")
    (path,) = re.findall(r'points="(.*?)"', drawn)
    (x, y), (x_end, y_end) = (map(float, point.split(",")) for point in path.split())
    assert x < x_end and y > y_end and "a&lt;b" in drawn and "<b" not in drawn
    assert drawn.count('class="mark') == 1 and drawn.count('class="peak"') == 1
    assert chart([Line("a", [(0, float("inf"))])], "title", "x") == ""
    assert chart([Line("a", [(3, 5)])], "title", "x").count("<polyline") == 1  # one point has no width


def test_pictures_are_enlarged_by_a_whole_factor_and_texts_are_escaped(tmp_path):
    picture = torch.randint(0, 256, (1, 30, 58), dtype=torch.uint8)
    html = figure(picture, 'a "b" <c>', "<d>", columns=2, widest=400)
    width, height = map(int, re.search(r'width="(\d+)" height="(\d+)"', html).groups())
    assert width % 58 == 0 and height * 58 == width * 30 and "<c>" not in html and "<d>" not in html
    content = base64.b64decode(picture_uri(picture).partition("base64,")[2])
    assert content == save_png(tmp_path / "a.png", picture).read_bytes()
    assert "<script>" not in problem("<script>") + command("<script>", "<script>")


def fields(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


@pytest.mark.parametrize("table", [WORDS, REFUSALS])
def test_every_text_is_there_in_both_languages_and_is_used(table):
    assert all(fields(english) == fields(chinese) for english, chinese in table.values())
    assert all(text.strip() for texts in table.values() for text in texts)
    source = " ".join(SOURCES.values())
    built = {f"tab_{tab}" for tab in ("draw", "compare", "between", "repair", "understand", "training")}
    built |= {"between_first", "between_second", "inpaint_done", "edit_done"}
    assert not [key for key in table if key not in built and len(re.findall(f"[\"']{key}[\"']", source)) < 2]


@pytest.mark.parametrize(
    "accepted, language",
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en", "en"),
        ("fr, zh-TW", "zh"),
        ("de", "en"),
        ("", "en"),
        ("ZH", "zh"),
    ],
)
def test_the_language_is_the_first_of_the_browsers_that_there_is(accepted, language):
    assert language_of(SimpleNamespace(headers={"accept-language": accepted})) == language
    assert language_of(None) == LANGUAGES[0] and say("at_step", "zh", step=1200) == "第 1,200 步"
