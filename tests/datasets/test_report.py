"""`python -m datasets NAME`: the figures of sets whose figures are known, and the command as a user types it."""

import json

import numpy as np
from PIL import Image

from datasets.report import duplicates_of, make_report, mean_and_std, sheet_rows
from tests.datasets.packs import CLASSES, LABELS, files, pixels, png, write_zip
from tests.processes import run as script


def test_mean_and_std_are_numpy_s():
    images = np.random.default_rng(0).integers(0, 256, (5000, 3, 4, 5), np.uint8)
    mean, std = mean_and_std(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 2, 3)), rtol=1e-12)


def test_a_report_of_a_zip(dataset, tmp_path):
    """Two pictures that are the same, one that is broken, one that is larger, one of grey, and a text."""
    grey = png(np.zeros((9, 20), np.uint8))
    more = {"cat/again.png": files()["dog/c.png"], "cat/broken.png": b"?", "dog/large.png": grey, "notes.txt": b"?"}
    path = write_zip(tmp_path / "a.zip", {**files(), **more})
    data = dataset(data_path=str(path), class_from_folder=True, skip_unreadable=True)
    pictures, decoded = data.decode()
    report = make_report(pictures, decoded, data.shaping)
    assert report.picture_num == 8 and dict(report.classes) == {"Zebra": 1, "cat": 3, "dog": 4}
    assert report.sizes == {(8, 8): 7, (9, 20): 1} and report.modes == {"RGB": 7, "L": 1} and report.left_out == {".txt": 1}
    assert report.duplicates == [[f"{path}: cat/again.png", f"{path}: dog/c.png"]]
    assert [picture.name for picture in report.skipped] == [f"{path}: cat/broken.png"]
    values = np.asarray(decoded.images) / 255
    np.testing.assert_allclose(2 * report.whole_std(), 2 * values.std(), rtol=1e-12)
    text = "\n".join(report.lines())
    for words in ("8, decoded to 8x8, RGB", "8x8 87.5 %, 9x20 12.5 %", "shorter side 8 to 9", "RGB 87.5 %, grey 12.5 %"):
        assert words in text
    for words in ("3, 1 to 4 pictures each; model.num_classes: 3", "1 picture more than once", "1 .txt", "cannot identify"):
        assert words in text
    # The training's own cache is the one that was made, unless something was unreadable.
    assert data.load().images.filename == decoded.images.filename


def test_duplicates_are_named_past_what_was_skipped(dataset, tmp_path):
    content = {"a.png": b"?", "b.png": files()["cat/a.png"], "c.png": b"?", "d.png": files()["cat/b.png"], "e.png": files()["cat/a.png"]}
    pictures, decoded = dataset(data_path=str(write_zip(tmp_path / "a.zip", content)), skip_unreadable=True).decode()
    assert [[name[-5:] for name in group] for group in duplicates_of(decoded, pictures.read().pictures)] == [["b.png", "e.png"]]


def test_rows_of_a_sheet():
    labels = np.array([0] * 30 + [2] * 3)
    assert sheet_rows(labels, 33, 3) == [[0, 3, 6, 10, 13, 16, 19, 23, 26, 29], [], [30, 31, 32]]
    rows = sheet_rows(None, 1000, 0)
    assert len(rows) == 10 and all(len(row) == 10 for row in rows) and (rows[0][0], rows[-1][-1]) == (0, 999)
    assert sheet_rows(None, 3, 0) == [[0, 1], [2]] and sheet_rows(labels, 33, 21)[0][0] == 0


def test_the_command(tmp_path):
    np.savez(tmp_path / "a.npz", images=pixels(), labels=np.array(LABELS), classes=np.array(CLASSES))
    data = {"data_path": str(tmp_path / "a.npz"), "image_size": 8, "cache_dir": str(tmp_path / "cache")}
    entry = {"data": data, "model": {"attention_resolutions": []}}
    (tmp_path / "c.yaml").write_text(json.dumps({"Train_Data": {"Mine": entry}}))
    ended = script("datasets/__main__.py", "Mine", "--config", tmp_path / "c.yaml", "--save_dir", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert "Zebra" in ended.stdout and "Duplicates: none" in ended.stdout and ended.stdout.endswith("Mine_data.png\n")
    with Image.open(tmp_path / "out" / "Mine_data.png") as sheet:
        rows = np.asarray(sheet)
    for row, label in enumerate(range(3)):  # each class has its row; a pixel is 7x7 on the sheet
        middle = rows[2 + row * 58 + 3, -(3 * 58) + 3]
        assert middle.tolist() == pixels()[LABELS.index(label), 0, 0].tolist()
    ended = script("datasets/__main__.py", "Mine", "--config", tmp_path / "c.yaml", "--data_path", tmp_path / "none.zip")
    assert ended.returncode == 2 and "none.zip does not exist" in ended.stderr and ended.stderr.count("\n") == 1
