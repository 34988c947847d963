"""A person at the page: Debian's headless Chromium, driven by selenium. Install: WITH_BROWSER=1 bash tests/run.sh"""

import shutil
import time
from contextlib import contextmanager

import pytest

from page.app import TABS

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Debian's Chromium: WITH_BROWSER=1 bash tests/run.sh, as root"
)
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
WAIT = 120  # seconds, on a busy machine


GO_TO_TAB = """
const own = document.getElementById(arguments[0] + "-button"), shown = document.querySelectorAll("[role=tab]").length;
if (!own) document.querySelector(".overflow-menu > button")?.click();
const button = own ?? document.querySelectorAll(".overflow-dropdown button")[arguments[1] - shown];
button?.click();
return Boolean(button);
"""


class Person:
    """What a person does: looks, clicks, types, waits."""

    def __init__(self, driver):
        self.driver = driver

    def at(self, elem_id, part=""):
        """The element of that id, or a part of it."""
        return self.driver.find_element("css selector", f"#{elem_id} {part}".strip())

    def wait(self, found, what):
        """Until `found()` gives something true; what it gives."""
        end, seen = time.monotonic() + WAIT, None
        while time.monotonic() < end:
            try:
                seen = found()
                if seen:
                    return seen
            except self.gone() as error:
                seen = error
            time.sleep(0.05)
        raise AssertionError(f"{what} did not happen; last: {seen!r}")

    @staticmethod
    def gone():
        from selenium.common import exceptions

        names = ("NoSuchElement", "StaleElementReference", "ElementClickIntercepted", "ElementNotInteractable")
        return tuple(getattr(exceptions, f"{name}Exception") for name in names)

    def open(self, address):
        """The page, when it is there."""
        self.driver.get(address)
        self.wait(lambda: self.at("draw_go").is_displayed(), "the page")

    def tab(self, name):
        """Goes to the tab of that name; on a phone the last ones are in a menu."""
        self.wait(lambda: self.driver.execute_script(GO_TO_TAB, f"tab_{name}", list(TABS).index(name)), name)

    def click(self, elem_id, part=""):
        element = self.wait(lambda: self.at(elem_id, part), elem_id)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        self.wait(lambda: element.click() or True, f"{elem_id} to click")

    def type(self, elem_id, text):
        """Replaces what stands in a field."""
        field = self.wait(lambda: self.at(elem_id, "input, textarea"), elem_id)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", field)
        self.wait(lambda: field.send_keys("\ue009a\ue000" + text) or True, f"{elem_id} to type in")  # control and a

    def slide(self, elem_id, value):
        """Moves a slider."""
        script = """const slider = arguments[0]; slider.value = arguments[1];
          for (const name of ['input', 'change', 'pointerup']) slider.dispatchEvent(new Event(name, {bubbles: true}));"""
        self.driver.execute_script(script, self.at(elem_id, "input[type=range]"), str(value))

    def text(self, elem_id):
        return self.at(elem_id).text

    def value(self, elem_id):
        return self.at(elem_id, "input, textarea").get_property("value")

    def says(self, elem_id, words):
        """Waits for the words to be there."""
        return self.wait(lambda: words in self.text(elem_id) and self.text(elem_id), f"{words!r} in {elem_id}")

    def pictures(self, elem_id):
        """The addresses of its pictures, which hold them."""
        return [each.get_attribute("src") for each in self.driver.find_elements("css selector", f"#{elem_id} img")]

    def complaints(self):
        """What the browser's console has of errors."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]


@contextmanager
def person(language="en-US", size=(1280, 900), dark=False):
    """A browser of that language and size, which resolves no name but this machine's."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--window-size={size[0]},{size[1]}", f"--accept-lang={language}"):
        options.add_argument(option)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    options.add_experimental_option("prefs", {"intl.accept_languages": language})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        yield Person(driver)
    finally:
        driver.quit()
