"""The pages' tables are those of their records."""

import re

import pytest

from benchmarks.readme_numbers import NUMBERS
from benchmarks.readme_tables import PAGES, ROOT, TABLE, filled, interpolation_table, same_seeds


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_its_records_say(name):
    page = (ROOT / name).read_text(encoding="utf-8")
    assert filled(page, name) == page, "run: python -m benchmarks.readme_tables"


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
    lines = same_seeds([few, record("DDPM", [[0, 4], [5, 9], [10, 14]], [2.5, 4.5, 100.0])]).splitlines()
    assert lines[0] == "| sampler | calls | fid, seeds 0 to 9 in 2 sets | times that of DDPM |"
    assert lines[2:] == ["| DPMPP | 2,000 | 5.5 | 1.57 |", "| DDPM | 2,000 | 3.5 | 1.00 |"]
    with pytest.raises(ValueError, match="not measured alike"):
        same_seeds([few, record("DDPM", [[1, 5]], [2.5])])
    with pytest.raises(ValueError, match="not measured alike"):
        same_seeds([few, record("DDPM", [[0, 4]], [2.5], extractor="another")])


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: f"{number.page} {number.key}")
def test_a_number_in_a_sentence_is_put_right_and_a_sentence_that_is_gone_is_told(number):
    page = (ROOT / number.page).read_text(encoding="utf-8")
    start, end = re.search(number.place, page).span(1)
    forged = page[:start] + re.sub(r"\d", "9", page[start:end]) + page[end:]
    assert filled(forged, number.page) == page
    with pytest.raises(ValueError, match="places"):
        filled(page.replace(page[start - 5 : end], ""), number.page)


def test_the_table_of_interpolations_has_mean_and_deviation_over_the_trainings():
    runs = [{"mean_change": mean, "largest_change": 2 * mean, "jump": 2.0} for mean in (0.1, 0.2, 0.3)]
    cells = {"l2_cosine, slerp DDIM_50_0p0": dict(enumerate(runs)), "l2_cosine, DDIM_50_0p0": {"0": {"kid": 1.0}}}
    assert "| `slerp DDIM_50_0p0` | 3 | 0.200 ± 0.100 | 0.400 ± 0.200 | 2.000 ± 0.000 |" in interpolation_table(
        {"cells": cells}
    )
    assert "Not yet measured" in interpolation_table({"cells": {}})
