"""Makes the README's pictures of the page anew, with Debian's Chromium and a Chinese font: python -m tests.page.screenshots"""

from pathlib import Path

from tests.page.browser import person
from tests.page.served import ROOT, served

DOCS = ROOT / "docs"
LARGEST = 300_000  # bytes


def main() -> None:
    with served() as page:
        with person(size=(1220, 880)) as user:
            draw(user, page.address, 16, "DDIM_20_0p0")
            user.slide("draw_scrub", 11)  # where a digit can be guessed, and is expected
            user.says("draw_status", "11 steps taken")
            save(user, DOCS / "page.png")
        with person("zh-CN", (390, 844), dark=True) as user:
            draw(user, page.address, 9, "DPMPP_20_0p0")
            user.driver.execute_script(
                "document.querySelector('#draw_go').scrollIntoView({block: 'start'}); window.scrollBy(0, -12)"
            )
            save(user, DOCS / "page_phone.png")


def draw(user, address: str, count: int, text: str) -> None:
    user.open(address)
    user.type("draw_sampler", text)
    user.type("draw_count", str(count))
    user.click("draw_go")
    user.wait(lambda: user.at("draw_downloads").is_displayed(), "the pictures")
    user.driver.execute_script("window.scrollTo(0, 0)")


def save(user, path: Path) -> None:
    assert user.driver.save_screenshot(str(path)) and path.stat().st_size < LARGEST, path
    print(f"Wrote:   {path}")


if __name__ == "__main__":
    main()
