"""Makes the README's pictures of the page anew, with Debian's Chromium: python -m tests.page.screenshots"""

from pathlib import Path

from tests.page.browser import person
from tests.page.served import ROOT, served

DOCS = ROOT / "docs"
LARGEST = 300_000  # bytes


def main() -> None:
    with served() as page:
        with person(size=(1220, 860)) as user:
            draw(user, page.address, 16, "DDIM_50_0p0")
            user.slide("draw_scrub", 27)  # where a digit can be guessed, and is expected
            user.says("draw_status", "27 steps taken")
            save(user, DOCS / "page.png")
            repair(user)
            save(user, DOCS / "page_repair.png")
        with person("zh-CN", (390, 844), dark=True) as user:
            draw(user, page.address, 9, "DPMPP_20_0p0")
            user.driver.execute_script("document.querySelector('#draw_status').scrollIntoView({block: 'start'})")
            save(user, DOCS / "page_phone.png")


def draw(user, address: str, count: int, text: str) -> None:
    user.open(address)
    user.type("draw_sampler", text)
    user.type("draw_count", str(count))
    user.click("draw_go")
    user.wait(lambda: user.at("draw_downloads").is_displayed(), "the pictures")
    user.driver.execute_script("window.scrollTo(0, 0)")


def repair(user) -> None:
    from selenium.webdriver import ActionChains

    user.tab(3)
    user.type("repair_sampler", "DDIM_50_1p0_cfg1p5_r3")
    user.click("repair_picture_canvas", "input[value=mark]")
    user.slide("repair_picture_canvas", 9)
    canvas = user.at("repair_picture_canvas", "canvas")
    for y in (-90, -50, -10):
        move = ActionChains(user.driver).move_to_element_with_offset(canvas, -110, y).click_and_hold()
        move.move_by_offset(220, 0).release().perform()
    user.click("repair_inpaint")
    user.says("repair_status", "6 ways to fill it in")
    user.driver.execute_script("window.scrollTo(0, 190)")


def save(user, path: Path) -> None:
    assert user.driver.save_screenshot(str(path)) and path.stat().st_size < LARGEST, path
    print(f"Wrote:   {path}")


if __name__ == "__main__":
    main()
