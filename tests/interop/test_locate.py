"""--model_path as a folder, or as a repository of the Hub: from a cache laid out as the Hub's, without a network."""

import shutil
import sys

import pytest
from PIL import Image

from interop.locate import find_model
from tests.processes import ROOT, done, refused, run
from utils.errors import RequestError
from utils.hub_cache import hub_file

SHIPPED = f"{ROOT}/checkpoints/mnist_mini.safetensors"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path):
    """A cache with the repository someone/digits in it, as huggingface_hub leaves it; and the environment that names it."""
    pytest.importorskip("huggingface_hub")
    repo = tmp_path / "hub/models--someone--digits"
    snapshot = repo / "snapshots" / COMMIT
    for folder in (repo / "blobs", repo / "refs", snapshot / "old"):
        folder.mkdir(parents=True)
    (repo / "refs/main").write_text(COMMIT)
    shutil.copy(SHIPPED, repo / "blobs/abc")
    (snapshot / "model.safetensors").symlink_to("../../blobs/abc")
    (snapshot / "old/mnist.safetensors").symlink_to("../../../blobs/abc")
    return repo, {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}


def draw(model, environment, out):
    arguments = ["--model_path", model, "--sample_info", "DDIM_2_0p0", "--sample_num", 2, "--save_dir", out]
    return run("test_solver.py", *arguments, environment=environment)


def test_a_repository_of_the_hub_is_drawn_from(cache, tmp_path):
    _, environment = cache
    printed = done(draw("hf:someone/digits", environment, tmp_path / "out"))
    assert "digits_DDIM_2_0p0_n2_final.png" in printed  # by the repository's name, not by its commit's
    printed = done(draw("hf:someone/digits/old/mnist.safetensors", environment, tmp_path / "out"))
    assert "mnist_DDIM_2_0p0_n2_final.png" in printed
    with Image.open(tmp_path / "out/mnist_DDIM_2_0p0_n2_final.png") as image:
        assert "--model_path hf:someone/digits/old/mnist.safetensors" in image.text["command"]


@pytest.mark.parametrize("forge, words", [("link", "out of the Hub's cache"), ("revision", "Invalid pointer path")])
def test_a_cache_that_leads_elsewhere_is_not_read(cache, tmp_path, forge, words):
    repo, environment = cache
    shutil.copy(SHIPPED, tmp_path / "model.safetensors")
    if forge == "link":
        link = repo / "snapshots" / COMMIT / "model.safetensors"
        link.unlink()
        link.symlink_to(tmp_path / "model.safetensors")
    else:
        (repo / "refs/main").write_text("../../..")
    refused(draw("hf:someone/digits", environment, tmp_path / "out"), "hf:someone/digits", words)


def test_no_card_is_written_into_the_cache(cache):
    process = run("interop/__main__.py", "card", "hf:someone/digits", environment=cache[1])
    refused(process, "hf:someone/digits", "beside a file of your own")


def test_what_is_not_there_is_said_in_one_line(cache, tmp_path):
    _, environment = cache
    refused(draw("hf:someone/letters", environment, tmp_path), "hf:someone/letters", "cannot be reached")


@pytest.mark.parametrize(
    "text, words",
    [
        ("hf:digits", "hf:USER/REPO"),
        ("hf:", "hf:USER/REPO"),
        ("hf:../../etc", "hf:USER/REPO"),
        ("hf:a--b/c", "hf:USER/REPO"),
        ("hf:someone/digits/../../model.safetensors", "leads out of its repository"),
        ("hf:someone/digits//etc/model.safetensors", "leads out of its repository"),
        ("hf:someone/digits/./model.safetensors", "leads out of its repository"),
        ("hf:someone/digits/a\\..\\model.safetensors", "leads out of its repository"),
        ("hf:someone/digits/evil.pkl", "no checkpoint"),
    ],
)
def test_names_that_are_none_are_refused_before_anything_is_asked(text, words):
    with pytest.raises(RequestError, match=words):
        find_model(text)


def test_what_has_to_be_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(RequestError, match="pip install -r requirements-hub.txt"):
        find_model("hf:someone/digits")


def test_a_folder_is_its_model(tmp_path):
    with pytest.raises(RequestError, match="holds no model.safetensors"):
        find_model(tmp_path)
    for name in ("digits.safetensors", "model.safetensors"):
        (tmp_path / name).touch()
        assert find_model(str(tmp_path)) == tmp_path / name  # the only one, then the one that runs leave
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "letters.safetensors").touch()
    with pytest.raises(RequestError, match="2 .safetensors files"):
        find_model(tmp_path)
    assert find_model(tmp_path / "any.pt") == tmp_path / "any.pt"


def test_the_place_in_the_cache_tells_the_repository(tmp_path):
    path = tmp_path / "models--a--b--c" / "snapshots" / COMMIT / "x" / "y.safetensors"
    assert str(hub_file(path)) == "hf:a/b/c/x/y.safetensors"
    assert hub_file(tmp_path / "snapshots" / "model.safetensors") is None
    assert hub_file(tmp_path / "model.safetensors") is None
