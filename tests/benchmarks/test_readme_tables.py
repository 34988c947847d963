"""The pages' tables are those of their records."""

import re

import pytest

from benchmarks.readme_tables import PAGES, ROOT, TABLE, filled, same_seeds


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_its_records_say(name):
    page = (ROOT / name).read_text(encoding="utf-8")
    assert filled(page) == page, "run: python -m benchmarks.readme_tables"


def test_a_figure_that_was_changed_by_hand_is_put_right():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    table = TABLE.search(page)
    forged = page.replace(table[0], re.sub(r"\d\.\d+", "0.001", table[0]))
    assert forged != page and filled(forged) == page


def test_records_are_compared_by_the_seeds_that_they_share():
    def record(sampler, seeds, each, **protocol):
        figures = {"fid": {"mean": 9.0, "each": each}}
        protocol |= {"pictures": 5, "seeds": seeds, "repeats": len(seeds)}
        return {"sampler": sampler, "network_calls": 2000, "figures": figures, "protocol": protocol}

    few, many = record("DPMPP", [[0, 4], [5, 9]], [3.0, 8.0]), record("DDPM", [[0, 4]], [2.5])
    lines = same_seeds([few, many]).splitlines()
    assert lines[0] == "| sampler | calls | fid, seeds 0 to 4 | times that of DDPM |"
    assert lines[2:] == ["| DPMPP | 2,000 | 3 | 1.20 |", "| DDPM | 2,000 | 2.5 | 1.00 |"]
    with pytest.raises(ValueError, match="not measured alike"):
        same_seeds([few, record("DDPM", [[1, 5]], [2.5])])
    with pytest.raises(ValueError, match="not measured alike"):
        same_seeds([few, record("DDPM", [[0, 4]], [2.5], extractor="another")])
