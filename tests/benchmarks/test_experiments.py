"""The study: its table is sound, its figures are what they are called, and its page says what its records say."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from benchmarks.experiments import page, run, sheets, trial
from benchmarks.experiments.cells import BASE, Cell, Drawing
from benchmarks.experiments.claims import KINDS, MISSING
from benchmarks.experiments.mistake import wrong_ddpm
from benchmarks.experiments.record import Record, differences
from benchmarks.experiments.study import cells_of
from benchmarks.experiments.table import DATA, SECTIONS, SHIPPED, STUDY, TRAINED, VARIANTS, rows_of
from diffusion import GaussianDiffusion, SampleInfo, make_betas, sample
from tests.processes import ROOT
from utils.config import differences as changed_keys
from utils.config import load_settings

DOCS = Path(ROOT) / "docs"
BLOCKS = ("data", "model", "diffusion", "train", "sample", "run")
ROWS = rows_of(list(DATA))


@pytest.mark.parametrize("data_name", TRAINED)
def test_every_variant_is_a_training_that_differs_from_the_base_by_its_own_changes(data_name):
    base = load_settings("config.yaml", data_name, STUDY.settings_of(data_name, BASE))
    for name in {cell.variant for cell in cells_of(rows_of([data_name]))}:
        settings = load_settings("config.yaml", data_name, STUDY.settings_of(data_name, name))
        changed = [line.split(":")[0] for line in changed_keys(base, settings, BLOCKS)]
        assert sorted(changed) == sorted(change.split("=")[0] for change in VARIANTS[name]), name


def test_every_row_has_a_hypothesis_and_compares_two_things_that_exist():
    for row in ROWS:
        assert row.kind in KINDS and row.margin > 0 and row.section in SECTIONS and row.first != row.second
        for cell in cells_of([row]):
            assert cell.variant in VARIANTS if row.data_name in TRAINED else cell.variant == "shipped"
            assert str(SampleInfo.parse(cell.drawing.sampler)) == cell.drawing.sampler
    assert len({(row.data_name, row.claim) for row in ROWS}) == len(ROWS)
    assert {cell.variant for cell in cells_of(rows_of(TRAINED))} == set(VARIANTS)


def test_trainings_and_pictures_are_enough_to_decide():
    for data in DATA.values():
        assert STUDY.trainings >= 4
        assert STUDY.trainings * data.pictures >= 1000  # where chains of 1,000 steps are compared
        assert STUDY.seeds_apart >= data.pictures  # no two trainings draw the picture of one seed


@pytest.mark.parametrize("data_name", TRAINED)
def test_the_seed_pages_comparisons_are_there_for_digits_and_for_colour(data_name):
    sections = {row.section for row in ROWS if row.data_name == data_name and row.whose == "seed page"}
    assert sections == {"losses", "each_off", "samplers", "interpolation"}


def exact_denoiser(diffusion, point):
    """Predicts the noise for data that is one point."""

    def network(x, t):
        ab = diffusion.alpha_bar(t)
        return ((x - ab**0.5 * point) / (1 - ab) ** 0.5).to(x.dtype)

    return network


def test_the_mistake_is_none_at_every_step_and_leaves_noise_at_few():
    diffusion = GaussianDiffusion(make_betas("cosine", 200))
    point = torch.full((4, 1, 6, 6), 0.5, dtype=torch.float64)
    x_T = torch.randn(point.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    network = exact_denoiser(diffusion, point)

    def noise():
        stream = torch.Generator().manual_seed(1)
        return lambda x: torch.randn(x.shape, generator=stream, dtype=x.dtype)

    def right(steps):
        return sample(network, diffusion, x_T, SampleInfo("DDPM", steps, 0.0), noise_like=noise())

    torch.testing.assert_close(wrong_ddpm(network, diffusion, x_T, 200, noise()), right(200), rtol=0, atol=1e-10)
    torch.testing.assert_close(right(10), point, rtol=0, atol=1e-10)
    assert (wrong_ddpm(network, diffusion, x_T, 10, noise()) - point).std() > 0.2


def test_the_kernel_distance_is_torch_fidelitys_kid_of_all_pictures_at_once():
    stream = torch.Generator().manual_seed(0)
    drawn, real = torch.randn(80, 16, generator=stream), torch.randn(80, 16, generator=stream) + 0.3
    options = {"kid_subsets": 1, "kid_subset_size": 80, "verbose": False, "rng_seed": 0}
    expected = kid_features_to_metric(drawn.double(), real.double(), **options)["kernel_inception_distance_mean"]
    assert trial.kernel_distance(drawn, real) == pytest.approx(expected, rel=1e-9)
    with_more = trial.kernel_distance(drawn, torch.cat([real, torch.randn(400, 16, generator=stream) + 0.3]))
    assert with_more == pytest.approx(expected, rel=0.3)  # unbiased: of any number of pictures


def test_a_jump_is_the_largest_change_over_the_mean_one():
    way = torch.tensor([0, 0, 0, 60, 60], dtype=torch.uint8).view(5, 1, 1, 1, 1).expand(5, 2, 1, 4, 4)
    found = trial.jump_figures(way)
    assert found["jump"] == pytest.approx(4.0) and found["largest_change"] == pytest.approx(60 / 255)
    even = torch.tensor([0, 20, 40, 60], dtype=torch.uint8).view(4, 1, 1, 1, 1)
    assert trial.jump_figures(even)["jump"] == pytest.approx(1.0)


def test_what_is_left_half_way_is_a_share_of_the_noises_distance():
    way = torch.tensor([200, 50, 100], dtype=torch.uint8).view(3, 1, 1, 1, 1).expand(3, 4, 3, 2, 2)
    assert trial.left_half_way(way)["left"] == pytest.approx(0.5)


# --- the record and the page


def fill(folder, rows, value):
    """Records of all cells of `rows`: value(cell, training), whatever the figure."""
    figures = {row.figure for row in ROWS}
    for name in dict.fromkeys(row.data_name for row in rows):
        record = Record(folder / f"{name}.json", STUDY, name)
        record.content["real"] = {"kid": 0.0}
        record.content["machine"] = {"device": "CPU", "cpu": "any", "threads": 1, "cores": 2}
        for row in rows:
            for cell in cells_of([row]) if row.data_name == name else []:
                record.add_seconds(cell.variant, 0, 1.0)
                for seed in range(STUDY.trainings):
                    record.add(cell, seed, dict.fromkeys(figures, value(cell, seed)))


def test_a_record_gives_paired_differences_and_none_before_all_trainings_are_there(tmp_path):
    row = ROWS[0]
    record = Record(tmp_path / "Mnist_Mini.json", STUDY, "Mnist_Mini")
    for seed in range(STUDY.trainings):
        assert differences(row, record) is None
        record.add(row.first, seed, {"edges": 0.5 + seed})
        record.add(row.second, seed, {"edges": 0.25 * seed})
    assert differences(row, Record(tmp_path / "Mnist_Mini.json", STUDY, "Mnist_Mini")) == [0.5, 1.25, 2.0, 2.75]


def test_a_checkpoint_is_not_trained_and_figures_of_another_one_are_refused(tmp_path, monkeypatch):
    folder = trial.run_folder(STUDY, tmp_path, SHIPPED, "shipped", 3)
    assert trial.train(STUDY, folder, SHIPPED, "shipped", 3) == 0.0 and folder.is_file()
    Record(tmp_path / "a.json", STUDY, SHIPPED).save()
    other = DATA[SHIPPED]._replace(checkpoint="checkpoints/mnist_mini_v.safetensors")
    monkeypatch.setitem(DATA, SHIPPED, other)
    with pytest.raises(SystemExit, match="another design"):
        Record(tmp_path / "a.json", STUDY, SHIPPED)


def test_figures_of_another_design_are_refused(tmp_path, monkeypatch):
    record = Record(tmp_path / "Mnist_Mini.json", STUDY, "Mnist_Mini")
    record.save()
    monkeypatch.setitem(DATA, "Mnist_Mini", DATA["Mnist_Mini"]._replace(steps=7))
    with pytest.raises(SystemExit, match="another design"):
        Record(tmp_path / "Mnist_Mini.json", STUDY, "Mnist_Mini")


def verdicts(text):
    return {
        cells[2].strip(): cells[-2].strip(" *") for line in text.splitlines() if len(cells := line.split("|")) == 10
    }


def test_the_page_judges_what_was_measured_and_says_what_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr(page.power, "lines", lambda n, members: [])  # tested elsewhere, and takes seconds
    folder = tmp_path / "docs" / "experiments"
    folder.mkdir(parents=True)
    assert set(verdicts(page.page(folder)).values()) == {"verdict", "---", MISSING}
    some = [row for row in ROWS if row.section == "losses" and row.data_name == "Mnist_Mini"]
    base, l1, linear = (Cell(name) for name in (BASE, "l1_cosine", "l1_linear"))
    level = {base: 0.5, l1: 0.3, linear: 0.301}
    fill(folder, some, lambda cell, seed: level[cell] + 0.1 * seed + 0.001 * (seed % 2) * (cell == base))
    digits, emoji = page.page(folder).split("## Emoji")
    found = verdicts(digits)
    assert set(verdicts(emoji).values()) <= {"verdict", "---", MISSING}
    assert found["L2 is sharper, L1 smoother"] == found["L2 is dirtier than L1"] == "holds"
    assert found["On grey pictures linear is as good as cosine"] == "holds"
    assert found["Without P2 there is no clear difference"] == MISSING  # one of its two cells is there


def test_the_page_is_that_of_its_records():
    text = (DOCS / "experiments.md").read_text(encoding="utf-8")
    assert page.page(DOCS / "experiments") == text, "run: python -m benchmarks.experiments.page"
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert links and all((DOCS / link).exists() for link in links)
    for path in (DOCS / "experiments").glob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_a_picture_of_the_page_is_made_of_all_cells_of_its_section_or_left_as_it_is(tmp_path):
    runs, made = tmp_path / "runs", tmp_path / "Mnist_Mini_losses.png"
    cells = cells_of([row for row in ROWS if (row.data_name, row.section) == ("Mnist_Mini", "losses")])
    for cell in cells[1:]:
        sheets.save_sheet(runs, "Mnist_Mini", cell, torch.zeros(16, 1, 28, 28, dtype=torch.uint8))
    sheets.save_sheets(runs, tmp_path, "Mnist_Mini")
    assert not made.exists()
    sheets.save_sheet(runs, "Mnist_Mini", cells[0], torch.zeros(16, 1, 28, 28, dtype=torch.uint8))
    sheets.save_sheets(runs, tmp_path, "Mnist_Mini")
    assert made.is_file()


@pytest.mark.slow
def test_the_study_runs_resumes_and_writes_its_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(DATA, "Mnist_Mini", DATA["Mnist_Mini"]._replace(steps=2, pictures=66))
    rows = [row for row in ROWS if row.data_name == "Mnist_Mini" and row.section in ("losses", "interpolation")]
    slow = Cell(BASE, Drawing("DDPM_50_0p0", way="one_step"))
    rows.append(next(row for row in ROWS if row.figure == "left"))
    rows.append(rows[0]._replace(first=slow, second=Cell("p2", Drawing(weights="raw", clip=False)), section="samplers"))
    for _ in range(2):
        run.run(STUDY, rows, tmp_path / "runs", tmp_path / "docs", trainings=1)
    printed = capsys.readouterr().out.splitlines()
    assert len([line for line in printed if "training 0" in line]) == len(cells_of(rows))  # the second time nothing
    assert (tmp_path / "docs" / "Mnist_Mini_losses.png").is_file()
    found = Record(tmp_path / "docs" / "Mnist_Mini.json", STUDY, "Mnist_Mini")
    assert {"kid", "fid", "grain", "edges", "light"} <= set(found.figures(slow, 0))
    assert "| `ddim" in page.page(tmp_path / "docs") or "ddim DDIM_50_0p0" in page.page(tmp_path / "docs")
