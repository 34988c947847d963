"""The frontier: its table is sound, its cells are measured and resumed, and its page says what its records say."""

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from benchmarks.experiments import power
from benchmarks.experiments.cells import Cell, Drawing
from benchmarks.experiments.claims import FAILS, HOLDS, KINDS, MISSING, OPEN, judge
from benchmarks.experiments.record import Record
from benchmarks.experiments.study import cells_of
from benchmarks.frontier import __main__ as frontier
from benchmarks.frontier import figures, page, plot, tables
from benchmarks.frontier.table import (
    BOUND,
    COLOUR,
    DATA,
    GREY,
    SECTIONS,
    STUDENT,
    STUDY,
    TEACHER,
    TRAINED,
    TUNED,
    VARIANTS,
    cells_in_order,
    lines_of,
    of_student,
    rows_of,
)
from diffusion import SampleInfo
from diffusion.sample_info import METHODS
from tests.processes import ROOT
from utils.config import load_settings

DOCS = Path(ROOT) / "docs"
ROWS = rows_of(list(DATA))


@pytest.mark.parametrize("data_name", TRAINED)
def test_formulations_differ_in_what_belongs_to_them_alone(data_name):
    settings = {name: load_settings("config.yaml", data_name, STUDY.settings_of(data_name, name)) for name in VARIANTS}
    objectives = {name: found.diffusion.objective for name, found in settings.items()}
    assert objectives == {
        "ddpm": "pred_noise", "v": "pred_v", "x_0": "pred_x0", "flow": "pred_flow", "edm": "pred_edm"
    }  # fmt: skip
    alone = {
        "diffusion": {"objective", "beta_schedule", "weighting"},
        "train": {"timestep_logit_normal", "timestep_log_normal"},
    }
    rest = [found.model_dump(exclude=alone) for found in settings.values()]
    assert all(each == rest[0] for each in rest)
    assert {found.train.max_steps for found in settings.values()} == {DATA[data_name].steps}
    uniform = {
        name
        for name, found in settings.items()
        if not (found.train.timestep_logit_normal or found.train.timestep_log_normal)
    }
    assert uniform == {"ddpm", "v", "x_0"}


def test_every_claim_is_of_two_cells_that_are_measured_and_of_sizes_that_can_decide():
    for row in ROWS:
        assert row.kind in KINDS and row.margin > 0 and row.section in SECTIONS and row.first != row.second
        assert set(cells_of([row])) <= set(cells_in_order(row.data_name))
    assert len({(row.data_name, row.claim) for row in ROWS}) == len(ROWS)
    for name, data in DATA.items():
        assert STUDY.trainings >= 4 and STUDY.trainings * data.pictures >= 1000 and STUDY.seeds_apart >= data.pictures
        for cell in cells_in_order(name):
            if cell.drawing.sampler.split("_")[0] in METHODS:
                assert str(SampleInfo.parse(cell.drawing.sampler)) == cell.drawing.sampler
    for claim in of_student():
        assert claim.student in cells_in_order(STUDENT) and claim.teacher in cells_in_order(TEACHER)


@pytest.mark.parametrize("data_name", TRAINED)
def test_a_column_holds_one_sampler_of_a_line_and_its_calls_go_from_1_to_1000(data_name):
    for line in lines_of(data_name):
        columns = [tables.column_of(sampler) for sampler in line.samplers]
        assert columns == sorted(set(columns))
    calls = [SampleInfo.parse(cell.drawing.sampler).network_calls for cell in cells_in_order(data_name)]
    assert min(calls) == 1 and max(calls) == 1000


# --- the page


def record_of(folder, name, values):
    """A record in which each cell has, in training k, the figures values(cell, k)."""
    record = Record(folder / f"{name}.json", STUDY, name)
    record.content["real"] = {"kid": 0.0, "fid": 0.1}
    record.content["machine"] = {"device": "CPU", "cpu": "any", "threads": 1, "cores": 2}
    for cell in cells_in_order(name):
        for seed in range(STUDY.trainings_of(name)):
            if (found := values(cell, seed)) is not None:
                record.add(cell, seed, {"calls": 1, "seconds": 0.01} | found)
    record.save()


def verdict(text, claim):
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {claim} |"))
    return line.split("|")[-2].strip(" *")


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A folder of records, with a student."""
    monkeypatch.setitem(DATA, STUDENT, DATA[STUDENT]._replace(checkpoint="checkpoints/mnist_mini_v.safetensors"))
    folder = tmp_path / "frontier"
    folder.mkdir()
    return folder


def test_the_page_judges_what_was_measured_and_says_what_was_not(empty):
    assert MISSING in page.page(empty)
    level = {"ddpm": 0.5, "v": 0.3, "x_0": 0.501, "flow": 0.2}

    def values(cell, seed):
        if cell.variant == "edm" and seed == 3:
            return None
        calls = SampleInfo.parse(cell.drawing.sampler).network_calls
        return {
            "kid": level.get(cell.variant, 0.4)
            + 1 / calls
            + 0.001 * seed
            + 1e-4 * (seed % 2) * (cell.variant != "ddpm"),
            "calls": calls,
        }

    record_of(empty, GREY, values)
    text = page.page(empty).split("## Emoji")[0]
    assert verdict(text, "v improves on ddpm at 8 calls") == "holds"
    assert verdict(text, "x_0 improves on ddpm at 8 calls") == "does not hold"
    assert verdict(text, "x_0 is as good as ddpm at 32 calls") == "holds"
    assert verdict(text, "v is as good as ddpm at 32 calls") == "does not hold"
    assert verdict(text, "edm improves on ddpm at 8 calls") == MISSING  # of one training nothing is there
    assert verdict(text, "flow: 8 calls are no worse than 32") == "does not hold"
    (flow,) = (line for line in text.splitlines() if line.startswith("| `flow` | DPMPP |"))
    assert "| **1.2 ± 0.0013** |" in flow  # the lowest of one call
    assert f"`v` 0.312 → 0.303, `x_0` 0.513 → 0.504, `flow` 0.212 → 0.203, `edm` {MISSING} → {MISSING}." in text
    record_of(empty, COLOUR, values)
    (alone,) = (line for line in page.page(empty).split("## Emoji")[1].splitlines() if line.startswith("| `ddpm` | DDPM |"))
    assert alone.split("|")[-2].strip() == "0.502 ± 0.0013"  # of 1,000 calls there is no other to be lower than


def test_the_student_is_judged_by_the_ratio_of_its_distance(empty):
    fid = {"CM_1_0p0": 0.70, "CM_2_0p0": 0.40, "CM_4_0p0": 0.33}
    record_of(empty, STUDENT, lambda cell, seed: {"kid": 0.01, "fid": fid[cell.drawing.sampler] + 0.001 * (seed % 4)})
    assert verdict(page.page(empty), "At 1 call, the student is within 2 times its teacher") == MISSING
    record_of(empty, TEACHER, lambda cell, seed: {"kid": 0.01, "fid": 0.3 + 0.002 * (seed % 2)})
    text = page.page(empty)
    assert verdict(text, "At 4 calls, the student is within 1.2 times its teacher") == "holds"
    assert verdict(text, "At 1 call, the student is within 2 times its teacher") == "does not hold"
    assert "| student | `CM_4_0p0` | 1 | 0.332 ± 0.0011 | 1.10 |" in text


def test_that_the_student_is_within_a_bound_needs_no_difference_of_interest(empty):
    excess = {"CM_1_0p0": (-0.02, 0.03, 0.02, -0.01), "CM_2_0p0": (0.0,) * 4, "CM_4_0p0": (-0.004, -0.005, -0.005, -0.004)}
    factor = {claim.student.drawing.sampler: claim.factor for claim in of_student()}

    def student(cell, seed):
        sampler = cell.drawing.sampler
        return {"kid": 0.01, "fid": 0.3 * factor.get(sampler, 1) + excess[sampler][seed % 4]}

    record_of(empty, STUDENT, student)
    record_of(empty, TEACHER, lambda cell, seed: {"kid": 0.01, "fid": 0.3})
    _, times = page.judge_claims(figures.read(empty))
    four, one = times.values()
    assert (four.verdict, four.is_slight) == (HOLDS, False) and four.mean == pytest.approx(-0.0045)
    assert one.verdict == OPEN and one.low < 0 < one.high
    # By the rule of before, with a margin of 0.05, the one that is not decided did not hold.
    assert judge(excess["CM_1_0p0"], "less", 0.05).verdict == FAILS


def test_the_bound_errs_as_rarely_as_every_other_rule():
    kind, margin = BOUND
    differences = np.random.default_rng(0).standard_normal((60, 4)) + np.linspace(-3, 3, 60)[:, None]
    holds, fails = power.verdicts(differences, kind, margin)
    expected = [judge(list(each), kind, margin).verdict for each in differences]
    assert [HOLDS if h else FAILS if f else OPEN for h, f in zip(holds, fails)] == expected
    assert power.false_positives(kind, margin, STUDY.trainings) == pytest.approx(0.025, abs=0.002)  # half of 5 %: one side
    found = [power.chance(kind, effect, margin, 4, repeats=5_000)[0] for effect in (1, 0, -1, -2, -4)]
    assert found == sorted(found) and found[-1] > 0.95


@pytest.mark.parametrize("name, made", [("frontier.md", page.page), ("frontier_zh.md", page.page_zh)])
def test_the_page_is_that_of_its_records(name, made):
    text = (DOCS / name).read_text(encoding="utf-8")
    assert made(DOCS / "frontier") == text, "run: python -m benchmarks.frontier.page"
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    assert links and all((DOCS / link).exists() for link in links)


@pytest.mark.parametrize("data_name, steps", [(GREY, (100, 1000)), (COLOUR, (8, 32))])
def test_what_the_page_says_of_the_last_steps_is_so(data_name, steps):
    record = figures.read(DOCS / "frontier")[data_name]
    assert tables.last_steps(data_name) == steps
    longest = {line.solver: SampleInfo.parse(line.samplers[-1]).network_calls for line in lines_of(data_name)}
    assert longest.pop("DDPM") == 1000 and max(longest.values()) == steps[1]
    for line in lines_of(data_name)[: len(VARIANTS)]:
        before, last = (figures.found(record, cell, "kid").mean for cell in line.cells[-2:])
        assert last < 0.95 * before if line.variant == "x_0" else abs(last / before - 1) < 0.02


def test_what_other_pages_say_of_learned_timesteps_and_of_the_student_of_then_is_so():
    judged, _ = page.judge_claims(figures.read(DOCS / "frontier"))
    found = {row.claim: verdict.verdict for row, verdict in judged.items() if row.data_name == TUNED}
    better = {f"At {calls} calls, learned timesteps are better than logsnr ones" for calls in (4, 6)}
    assert better == {claim for claim, verdict in found.items() if verdict == HOLDS} and len(found) == 9
    for name, heading in {"": "timesteps-learned-for-a-model", "_zh": "为模型学得的时间步"}.items():
        assert f"(frontier{name}.md#{heading})" in (DOCS / f"flow{name}.md").read_text(encoding="utf-8")
        assert f"### {heading.replace('-', ' ').capitalize()}\n" in (DOCS / f"frontier{name}.md").read_text(encoding="utf-8")
    student, teacher = (0.352586, 0.191239, 0.284962, 0.215653), (0.306381, 0.164709, 0.198473, 0.205459)
    then = [a - 1.2 * b for a, b in zip(student, teacher)]
    old, new = judge(then, "less", 0.05), judge(then, *BOUND)
    assert f"{old.mean:.4f}" == "-0.0014" and (old.verdict, new.verdict) == (FAILS, OPEN)
    assert f"{sum(student) / sum(teacher):.2f}" == "1.19"


def test_the_plot_is_that_of_its_records():
    panels = plot.panels_of(figures.read(DOCS / "frontier"))
    with Image.open(DOCS / "frontier" / "frontier.png") as picture:
        assert picture.text[plot.DIGEST] == plot.digest(panels), "run: python -m benchmarks.frontier.page"


def test_the_plot_shows_the_whole_of_every_error_bar_and_no_legend_over_it():
    panels = plot.panels_of(figures.read(DOCS / "frontier"))
    figure = plot.plot(panels)
    FigureCanvasAgg(figure).draw()  # places the legends
    boxes = [axes.get_window_extent() for axes in figure.axes]
    parts = [part for row in figure.subfigs for part in row.subfigs]
    legends = [legend.get_window_extent() for part in parts for legend in part.legends]
    assert len(boxes) == len(panels) == len(legends) + 1  # the trainings share one
    assert not any(box.overlaps(legend) for box in boxes for legend in legends)
    assert all(figure.bbox.x0 <= legend.x0 and legend.x1 <= figure.bbox.x1 for legend in legends)
    for axes, panel in zip(figure.axes, panels.values()):
        low, high = axes.get_ylim()
        for curve in panel.curves:
            assert all(low <= y - e and y + e <= high for y, e in zip(curve.y, curve.y_error))
        assert all(low <= level.y - (level.y_error or 0) <= level.y + (level.y_error or 0) <= high for level in panel.levels)


def test_the_panel_of_the_student_has_the_figure_that_the_aims_are_of(empty):
    fid = {"CM_1_0p0": 0.70, "CM_2_0p0": 0.40, "CM_4_0p0": 0.33}
    calls = {name: int(name.split("_")[1]) for name in fid}
    record_of(
        empty, STUDENT,
        lambda cell, seed: {"kid": 0.01, "fid": fid[cell.drawing.sampler], "calls": calls[cell.drawing.sampler]},
    )  # fmt: skip
    record_of(empty, TEACHER, lambda cell, seed: {"kid": 0.01, "fid": 0.3, "calls": 90})
    panels = plot.panels_of(figures.read(empty))
    (panel,) = panels.values()  # nothing else was measured: those panels are left out
    (curve,) = panel.curves
    assert panel.figure == "fid" and curve.x == [1, 2, 4] and curve.y == pytest.approx([0.7, 0.4, 0.33])
    assert [level.y for level in panel.levels] == pytest.approx([0.3, 0.36, 0.6])
    assert [level.label for level in panel.levels] == ["teacher, 90 calls", "1.2 times: aim at 4 calls", "2 times: aim at 1 call"]
    assert len(plot.plot(panels).axes) == 1 and not plot.plot({}).axes


def test_a_checkpoint_that_is_not_there_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(DATA, STUDENT, DATA[STUDENT]._replace(checkpoint="checkpoints/none.safetensors"))
    frontier.run(STUDY, [STUDENT], tmp_path, tmp_path, trainings=1)
    assert "left out" in capsys.readouterr().out and not list(tmp_path.iterdir())
    assert figures.read(tmp_path)[STUDENT] is None


def test_figures_of_a_checkpoint_that_was_replaced_are_not_shown(empty, monkeypatch):
    record_of(empty, TEACHER, lambda cell, seed: {"kid": 0.01, "fid": 0.333})
    assert "0.333 ± 0" in page.page(empty)
    monkeypatch.setitem(DATA, TEACHER, DATA[TEACHER]._replace(checkpoint="checkpoints/mnist_mini_v.safetensors"))
    assert figures.read(empty)[TEACHER] is None and "0.333" not in page.page(empty)


@pytest.mark.slow
def test_cells_are_trained_drawn_measured_and_not_measured_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(DATA, GREY, DATA[GREY]._replace(steps=2, pictures=65))
    monkeypatch.setitem(DATA, TUNED, DATA[TUNED]._replace(tuned=("DPMPP_4_0p0",), pictures=65))
    cells = {
        GREY: [Cell(name, Drawing("DPMPP_1_0p0")) for name in VARIANTS] + [Cell("edm", Drawing("EDM_2_0p0_karras"))],
        TUNED: [Cell("teacher", Drawing("DPMPP_4_0p0_tuned"))],
    }
    monkeypatch.setattr(frontier, "cells_in_order", cells.get)
    for _ in range(2):
        frontier.run(STUDY, [GREY, TUNED], tmp_path / "runs", tmp_path / "docs", trainings=1)
    assert len([line for line in capsys.readouterr().out.splitlines() if "training 0" in line]) == 7
    assert (tmp_path / "docs" / f"{GREY}.png").is_file()
    record = Record(tmp_path / "docs" / f"{GREY}.json", STUDY, GREY)
    found = record.figures(cells[GREY][-1], 0)
    assert found["calls"] == 3 and found["seconds"] > 0 and {"kid", "fid"} <= set(found)
    assert set(record.content["seconds"]) == set(VARIANTS)
    assert page.page(tmp_path / "docs").count(MISSING) > 50
