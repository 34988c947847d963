"""The pages' tables are those of their records."""

import re

import pytest

from benchmarks.readme_tables import PAGES, ROOT, TABLE, filled


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_its_records_say(name):
    page = (ROOT / name).read_text(encoding="utf-8")
    assert filled(page) == page, "run: python -m benchmarks.readme_tables"


def test_a_figure_that_was_changed_by_hand_is_put_right():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    table = TABLE.search(page)
    forged = page.replace(table[0], re.sub(r"\d\.\d+", "0.001", table[0]))
    assert forged != page and filled(forged) == page
