"""The page of a run: everything inside, nothing from elsewhere, and what it shows is what the run left."""

import base64
import json
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from modes.model import load_model
from modes.report import figure_table, protocol_of
from tests.mode import run_mode
from tests.processes import done, files, refused, run, train
from utils.log_curves import grouped_curves
from utils.plots import Curve, plot
from utils.run_files import read_log


class Page(HTMLParser):
    """What a browser would fetch or run, and the text that it would show."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]

    def handle_data(self, data):
        self.text += data

    def pictures(self, kind):
        prefix = f"data:{kind};base64,"
        return [base64.b64decode(address[len(prefix) :]) for address in self.addresses if address.startswith(prefix)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A tiny run that logged, drew, was warned about and measured; and its report."""
    folder = tmp_path_factory.mktemp("report") / "a <b> run"
    settings = ["model.base_channels=8", "model.norm_groups=4", "train.batch_size=4", "sample.sample_num=4",
                "sample.sample_info=DDIM_2_0p0", "train.log_every=1", "train.sample_every=1"]  # fmt: skip
    done(train(folder, "--max_steps", 3, settings=settings))
    with open(folder / "log.jsonl", "a") as log:
        log.write(
            json.dumps({"step": 3, "drawn_mean_0": -0.5, "data_mean_0": -0.7, "doctor": ["<i>too dark</i>"]}) + "\n"
        )
        log.write('{"step": 4, "lo')  # torn
    output = folder.parent / "out"
    output.mkdir()
    record = {
        "model_sha256": "0" * 12,
        "figures": {"fid": {"mean": 12.5, "std": 0.25}},
        "note": "<script>alert(1)</script>",
        "each": list(range(100)),
    }
    (output / "a <b> run_DDIM_2_0p0_evaluate.json").write_text(json.dumps(record))
    Image.new("L", (3, 2)).save(output / "a <b> run_DDIM_2_0p0_memorisation.png")
    Image.new("L", (2, 3)).save(output / "a <b> run_v_DDIM_2_0p0_memorisation.png")  # another model's
    Image.new("L", (4, 3)).save(output / "compare_grid.png")
    (output / "compare_table.md").write_text("| model | fid |\n|---|---|\n| a <b> run | 7.25 |\n\nOf the same seeds.\n")
    process = run(
        "test_solver.py", "--test_mode", "report", "--model_path", folder / "model.safetensors", "--save_dir", output
    )
    path = output / "a <b> run_report.html"
    assert str(path) in done(process)
    return folder, Page(path.read_text(encoding="utf-8"))


def test_a_report_needs_nothing_from_elsewhere(page):
    _, found = page
    assert found.addresses and all(address.startswith("data:image/") for address in found.addresses)
    assert not {"script", "link", "iframe", "object", "base"} & set(found.tags)
    assert "url(" not in found.text and "@import" not in found.text


def test_a_report_shows_the_grids_the_curves_and_the_settings(page):
    folder, found = page
    sheets = [path.read_bytes() for path in sorted((folder / "samples").glob("*.png"))]
    out = folder.parent / "out"
    beside = [(out / name).read_bytes() for name in ("a <b> run_DDIM_2_0p0_memorisation.png", "compare_grid.png")]
    assert len(sheets) == 3 and found.pictures("image/png") == [*sheets, *beside]
    drawings = [ElementTree.fromstring(drawing) for drawing in found.pictures("image/svg+xml")]
    assert len(drawings) == len(grouped_curves(read_log(folder / "log.jsonl")))
    for word in (
        "step 1",
        "Mnist_Mini",
        "28x28, grey",
        "learning_rate",
        "base_channels",
        "DDIM_2_0p0",
        "12.5",
        "100 values",
        "12.5 ± 0.25",
        "7.25",
        "Of the same seeds.",
    ):
        assert word in found.text, word


def test_what_comes_out_of_files_is_text_not_markup(page):
    _, found = page
    assert "<i>too dark</i>" in found.text and "<script>alert(1)</script>" in found.text and "a <b> run" in found.text
    assert "i" not in found.tags and found.tags.count("b") == 1  # the one of the template


def test_the_page_of_another_run_of_the_same_name_is_kept(page, tmp_path, capsys):
    for place in ("one", "two"):
        shutil.copytree(page[0], tmp_path / place / "run")
    for place in ("one", "one", "two"):
        model = load_model(tmp_path / place / "run" / "model.safetensors", device=torch.device("cpu"))
        run_mode("report", model, save_dir=str(tmp_path / "out"))
    assert files(tmp_path / "out") == ["run_report.1.html", "run_report.html"]
    for name, place in (("run_report.1.html", "one"), ("run_report.html", "two")):
        assert f"--model_path {tmp_path}/{place}/run/model.safetensors" in (tmp_path / "out" / name).read_text(encoding="utf-8")
    assert capsys.readouterr().out.count(f"Kept:    {tmp_path}/out/run_report.1.html, of another run") == 1


def test_figures_are_a_table_and_the_rest_is_folded():
    record = {"figures": {"fid": {"mean": 0.5, "std": 0.1}, "kid_std": {"mean": 1.0, "std": None}, "class_histogram": [1, 2]},
              "floor": {"figures": {"fid": {"mean": 0.25, "std": None}}}}  # fmt: skip
    rows = [["drawn", "0.5 ± 0.1"], ["floor: real pictures", "0.25"]]
    assert figure_table(record) == {"head": ["", "fid"], "rows": rows} and protocol_of(record) == ""
    bits = {"bits_per_dimension": {"mean": 4.0, "standard_error": 0.5, "decoder": 1.0, "prior": 0.25}}
    assert figure_table(bits)["rows"] == [["4 ± 0.5", "1", "0.25"]]
    assert figure_table({"anything": 1}) is None


def test_a_curve_of_one_point_is_a_dot():
    one, two = (plot([Curve("loss", steps, steps)], "", "", "").axes[0].lines[0] for steps in ([1.0], [1.0, 2.0]))
    assert (one.get_marker(), two.get_marker()) == ("o", "")


def test_a_checkpoint_without_its_run_is_refused(tmp_path):
    process = run(
        "test_solver.py",
        "--test_mode",
        "report",
        "--model_path",
        "checkpoints/mnist_mini.safetensors",
        "--save_dir",
        tmp_path,
    )
    refused(process, "whole run", "log.jsonl", "train_results/NAME/model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_report_takes_no_sampler(tmp_path):
    process = run(
        "test_solver.py",
        "--test_mode",
        "report",
        "--model_path",
        "x",
        "--sample_info",
        "DDIM_2_0p0",
        "--save_dir",
        tmp_path,
    )
    refused(process, "--sample_info belongs to", "not report")
