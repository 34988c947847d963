"""The page as a person uses it, in a real browser."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from page.app import TABS
from page.drawing import Drawing
from sampling import parse_sampler
from tests.page.browser import needs_chromium, person
from tests.page.served import ROOT, offered, served
from utils.pictures import read_png

pytestmark = [pytest.mark.browser, needs_chromium]


def pixels(uri):
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2]))))


def drawn_by_hand(text, seed, count):
    """The grid of the finished pictures, as the command line draws them."""
    drawing = Drawing(offered().load("mnist_mini").trained, parse_sampler(text, 1000, 10), seed, count)
    drawing.run(lambda taken: None)
    return drawing.sheet(drawing.frames[-1, 0])[0].numpy()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    runs = tmp_path_factory.mktemp("train_results")
    with served(runs) as page:
        yield page, runs


def test_every_tab_does_what_a_person_asks_of_it(server):
    page, runs = server
    with person() as user:
        user.open(page.address)
        draw(user)
        stop(user, page)
        compare(user)
        between(user)
        repair(user)
        understand(user)
        training(user, runs)
        assert [line for line in user.complaints() if "favicon" not in line] == []


def draw(user):
    user.type("draw_sampler", "DDIM_50")
    user.says("draw_complaint", "it is written METHOD_STEPS_ETA")
    user.type("draw_sampler", "DDIM_3_0p5_quad")
    user.wait(lambda: "METHOD" not in user.text("draw_complaint"), "the end of the complaint")
    user.click("draw_parts", "button")
    user.wait(
        lambda: user.value("draw_steps") == "3" and user.value("draw_eta") == "0.5", "the controls to follow the string"
    )
    user.slide("draw_steps", 4)
    user.wait(lambda: user.value("draw_sampler") == "DDIM_4_0p5_quad", "the string to follow the controls")
    user.type("draw_count", "4")
    user.type("draw_seed", "5")
    user.click("draw_go")
    user.says("draw_status", "4 pictures, seeds 5 to 8")
    finished, _ = user.pictures("draw_view")
    assert (pixels(finished) == drawn_by_hand("DDIM_4_0p5_quad", 5, 4)).all() and pixels(finished).std() > 30
    user.slide("draw_scrub", 0)
    user.says("draw_status", "0 steps taken, t = 999")
    assert user.pictures("draw_view")[0] != finished
    assert "--sample_info DDIM_4_0p5_quad" in user.text("draw_about") and "network calls" in user.text("draw_about")


def stop(user, page):
    user.type("draw_sampler", "DDPM_1000_0p0")
    user.click("draw_go")
    user.says("draw_status", "of 1000, t =")
    user.click("draw_stop")
    user.says("draw_status", "Stopped after")
    user.wait(lambda: page.page.machine.busy == 0, "the machine to be free")


def compare(user):
    user.tab("compare")
    for number, text in enumerate(("DDIM_2_0p0", "DDIM_3_0p0", "")):
        user.type(f"compare_{number}_sampler", text or "\ue017")
    user.type("compare_count", "2")
    user.click("compare_go")
    user.says("compare_status", "2 pictures, seeds 0 to 1")
    table = user.text("compare_table")
    assert table.index("DDIM_2_0p0") < table.index("DDIM_3_0p0") and len(user.pictures("compare_table")) == 2


def between(user):
    user.tab("between")
    user.type("between_sampler", "DDIM_2_0p0")
    user.wait(lambda: json.loads(canvas_value(user, "between_first_canvas"))["label"] is not None, "a picture")
    user.click("between_go")
    user.says("between_status", "The ring marks")
    middle = user.pictures("between_at")
    assert len(middle) == 5 and len(user.pictures("between_strips")) == 3
    user.slide("between_slider", 9)
    user.wait(lambda: user.pictures("between_at")[1] != middle[1], "the slider to move on")
    assert len(user.driver.find_elements("css selector", "#between_strips .peak")) == 3


def canvas_value(user, elem_id):
    """What the canvas shows, as told by its size: a picture is on it once it is as wide as one."""
    wide = user.at(elem_id, "canvas").get_property("width")
    return json.dumps({"label": 1 if wide > 300 else None})


def repair(user):
    from selenium.webdriver import ActionChains

    user.tab("repair")
    user.type("repair_sampler", "DDIM_2_0p0")
    user.click("repair_inpaint")
    user.says("repair_status", "mark what is to be filled in first")
    user.click("repair_picture_canvas", "input[value=mark]")
    canvas = user.at("repair_picture_canvas", "canvas")
    user.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    ActionChains(user.driver).move_to_element(canvas).click_and_hold().move_by_offset(40, 30).release().perform()
    user.type("repair_results", "2")
    user.click("repair_inpaint")
    user.says("repair_status", "2 ways to fill it in")
    given, results = map(pixels, user.pictures("repair_view"))
    marked = given == 128
    assert 4 < marked.sum() < 200
    for start in (2, 32):
        assert (
            results[2:30, start : start + 28][~marked] == given[~marked]
        ).all()  # what is known stays, byte for byte
    user.click("repair_edit")
    user.says("repair_status", "2 ways to draw it anew")


def understand(user):
    user.tab("understand")
    user.type("understand_sampler", "DDIM_3_0p0")
    user.click("understand_go")
    user.says("understand_status", "Move the slider")
    user.slide("understand_place", 0)
    user.says("understand_way", "999")
    assert len(user.driver.find_elements("css selector", "#understand_curves .mark")) == 6
    before = user.pictures("understand_noised")
    user.slide("understand_time", 1000)
    user.says("understand_noised", "after 1000 steps of noise")
    assert user.pictures("understand_noised") != before


def training(user, runs):
    """Of a run that begins beside the page."""
    user.tab("training")
    user.says("training_view", "There is no training here yet")
    (runs / "Digits" / "samples").mkdir(parents=True)
    lines = [{"step": step, "loss": 1 / step, "lr": 1e-3} for step in (100, 200)]
    lines[1]["warnings"] = ["loss has risen <b>"]
    (runs / "Digits" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    picture = next((ROOT / "docs").glob("mnist_mini_*_final.png"))
    (runs / "Digits" / "samples" / "step_000200.png").write_bytes(picture.read_bytes())
    user.says("training_view", "step 200: loss has risen <b>")
    assert (
        len(user.pictures("training_view")) == 1
        and len(user.driver.find_elements("css selector", "#training_view svg")) == 2
    )
    with open(runs / "Digits" / "log.jsonl", "a") as log:
        log.write(json.dumps({"step": 3000, "loss": 0.1}) + "\n")
    user.says("training_view", "3,000")


@pytest.mark.slow
def test_two_browsers_at_once_each_draw_their_own(server):
    page, _ = server
    with person() as one, person() as other:
        for user, seed in ((one, 0), (other, 50)):
            user.open(page.address)
            user.type("draw_sampler", "DDIM_20_0p0")
            user.type("draw_count", "4")
            user.type("draw_seed", str(seed))
        one.click("draw_go")
        other.click("draw_go")
        for user, seed in ((one, 0), (other, 50)):
            user.says("draw_status", f"seeds {seed} to {seed + 3}")
            assert (pixels(user.pictures("draw_view")[0]) == drawn_by_hand("DDIM_20_0p0", seed, 4)).all()


@pytest.mark.slow
def test_downloads_are_the_files_of_the_command_line(server, tmp_path):
    page, _ = server
    with person() as user:
        user.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
        user.open(page.address)
        user.type("draw_sampler", "DDIM_2_0p0")
        user.type("draw_count", "2")
        user.click("draw_go")
        user.says("draw_status", "seeds 0 to 1")
        for kind, name in (("png", "_final.png"), ("gif", "_progress.gif"), ("zip", ".zip")):
            user.click(f"draw_{kind}")
            user.wait((tmp_path / f"mnist_mini_DDIM_2_0p0{name}").exists, name)
        assert read_png(tmp_path / "mnist_mini_DDIM_2_0p0_final.png").float().std() > 30


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("language, size", [("en-US", (1280, 900)), ("zh-CN", (390, 844))])
def test_axe_finds_nothing_serious_in_any_tab(server, dark, language, size):
    from axe_core_python.selenium import Axe

    page, _ = server
    with person(language, size, dark) as user:
        user.open(page.address)
        for tab in TABS:
            user.tab(tab)
            user.wait(lambda tab=tab: user.at(f"tab_{tab}").is_displayed(), tab)
            found = Axe().run(user.driver)["violations"]
            serious = [
                (each["id"], [node["html"][:200] for node in each["nodes"]])
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
            assert serious == [], (tab, serious)


@pytest.mark.slow
def test_a_chinese_phone_sees_one_chinese_column(server):
    page, _ = server
    with person("zh-CN", (390, 844)) as user:
        user.open(page.address)
        user.wait(lambda: user.text("draw_go") == "生成", "Chinese")
        user.type("draw_sampler", "DDIM_2_0p0")
        user.type("draw_count", "1")
        user.click("draw_go")
        user.says("draw_status", "1 张图")
        assert user.driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        left = {round(user.at(each).rect["x"]) for each in ("draw_sampler", "draw_view", "draw_parts")}
        assert len(left) == 1 or max(left) - min(left) < 20
        assert "image-rendering: pixelated" in user.at("draw_view", "img").get_attribute("outerHTML") or (
            user.at("draw_view", "img").value_of_css_property("image-rendering") == "pixelated"
        )


@pytest.mark.slow
def test_what_is_refused_is_said_in_chinese(server, tmp_path):
    page, _ = server
    (tmp_path / "no.png").write_text("no picture")
    with person("zh-CN") as user:
        user.open(page.address)
        user.type("draw_sampler", "DDIM_50")
        user.says("draw_complaint", "无法识别")
        user.type("draw_sampler", "DDIM_50_0p0")
        user.type("draw_count", "65")
        user.click("draw_go")
        user.says("draw_status", "张数：请输入 1 到 64 之间的整数")
        user.tab("repair")
        user.at("repair_picture_canvas", "input[type=file]").send_keys(str(tmp_path / "no.png"))
        user.says("repair_picture_canvas", "浏览器无法将该文件识别为图像")
        assert user.complaints() == []


@pytest.mark.slow
def test_the_keyboard_is_enough_to_draw(server):
    page, _ = server
    with person() as user:
        user.open(page.address)
        user.type("draw_count", "1")
        user.type("draw_sampler", "DDIM_2_0p0\n")  # Enter draws
        user.says("draw_status", "1 pictures, seeds 0 to 0")
