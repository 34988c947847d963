"""ONNX and torch.export: what is written computes what the network does, in any batch, and can be drawn from without torch."""

import json
import shutil
import sys
from subprocess import run as call

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from datasets import to_uint8
from diffusion import SampleInfo, build_diffusion, sample
from interop.drawable import check_equal, load_export
from interop.to_onnx import run as to_onnx
from models import build_model
from sampling.network import sampling_network
from tests.processes import ROOT, done, refused, run
from tests.small_training import SMALL
from utils.config import load_settings
from utils.errors import RequestError

STEPS, SIDE, LABEL = 50, 4, 3  # of docs/onnx_ddim.py
NETWORKS = {
    "all at once": ["model.num_classes=10", "model.patch_size=2", "model.attention_resolutions=[2]", "diffusion.objective=pred_v",
                    "diffusion.variance=learned", "diffusion.self_condition=true", "diffusion.network_input=x_u",
                    "diffusion.loss_of_clipped=false"],
    "EDM's skip": [],
    "noise, clipped dynamically": ["diffusion.objective=pred_noise", "diffusion.clip_denoised=dynamic",
                                   "diffusion.loss_of_clipped=false"],
}  # fmt: skip


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS if name != "all at once"]  # seconds each


@pytest.fixture(params=["all at once", *SLOW], scope="module")
def model(request, tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", NETWORKS[request.param])


def write_model(path, overrides):
    """A tiny network whose weights are all random, so that every one of them matters, as a file of this project."""
    settings = load_settings("config.yaml", "Mnist_Mini", [*SMALL, *overrides])
    torch.manual_seed(0)
    network = build_model(**settings.model_arguments())
    weights = {name: torch.randn_like(tensor) * 0.15 for name, tensor in network.state_dict().items()}
    save_file(weights, path, {"settings": settings.model_dump_json(), "step": "1"})
    return path


def ddim_of_the_project(path, label):
    """What docs/onnx_ddim.py draws, by the project's own sampler, from the same noise: uint8 (N, C, H, W)."""
    export = load_export(path)
    diffusion, num_classes = export.module.diffusion, export.checkpoint.settings.model.num_classes
    x_T = torch.from_numpy(np.random.default_rng(0).standard_normal((SIDE**2, *export.shape))).float()
    labels = torch.full((SIDE**2,), label) if num_classes else None
    network = sampling_network(export.module.network, diffusion, labels=labels, num_classes=num_classes)
    with torch.no_grad():
        return to_uint8(sample(network, diffusion, x_T, SampleInfo("DDIM", STEPS, 0.0)))


def sheet_of(pictures):
    """As docs/onnx_ddim.py lays them out: (4 H, 4 W) or (4 H, 4 W, 3)."""
    rows = [torch.cat(list(pictures[row : row + SIDE]), dim=2) for row in range(0, len(pictures), SIDE)]
    return torch.cat(rows, dim=1).permute(1, 2, 0).squeeze(-1).numpy()


def test_onnx_computes_what_torch_does_and_draws_without_it(model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path / "tiny.onnx"
    printed = done(run("interop/__main__.py", "to_onnx", model, out))
    assert "Checked: onnxruntime and torch differ by" in printed and (tmp_path / "README.md").exists()
    session, export = onnxruntime.InferenceSession(out), load_export(model)
    for batch in (1, 2, 5):
        inputs = export.example(batch)
        assert {each.name for each in session.get_inputs()} == set(inputs)
        output, x_0 = session.run(["output", "x_0"], {name: tensor.numpy() for name, tensor in inputs.items()})
        with torch.no_grad():
            wanted, wanted_x_0 = export.module(**inputs)
        torch.testing.assert_close(torch.from_numpy(output), wanted, rtol=0, atol=1e-4)
        low = inputs["t"] < 900  # near pure noise, x_0 is the noise's error enlarged
        torch.testing.assert_close(torch.from_numpy(x_0)[low], wanted_x_0[low], rtol=1e-3, atol=1e-3)
    code = "import sys, runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0]); assert 'torch' not in sys.modules"
    picture = tmp_path / "drawn.png"
    words = [sys.executable, "-c", code, f"{ROOT}/docs/onnx_ddim.py", out, picture, str(LABEL)]
    process = call(words, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    drawn = np.asarray(Image.open(picture)).astype(int)
    wanted = sheet_of(ddim_of_the_project(model, LABEL)).astype(int)
    assert drawn.shape == wanted.shape and wanted.std() > 10
    assert np.abs(drawn - wanted).max() <= 1, np.abs(drawn - wanted).max()  # of 255


def test_pt2_computes_what_the_network_does_without_this_project(model, tmp_path):
    out = tmp_path / "tiny.pt2"
    assert "Checked:" in done(run("interop/__main__.py", "to_pt2", model, out))
    about = {"diffusion.json": ""}
    program = torch.export.load(out, extra_files=about).module()
    export = load_export(model)
    for batch in (1, 2, 5):
        inputs = export.example(batch)
        with torch.no_grad():
            torch.testing.assert_close(program(**inputs), export.module(**inputs), rtol=1e-4, atol=1e-4)
    about = json.loads(about["diffusion.json"])
    t = torch.arange(1000)
    alpha_bar = build_diffusion(**export.checkpoint.settings.diffusion.model_dump()).alpha_bar(t).flatten()
    torch.testing.assert_close(torch.tensor(about["signal"]).double() ** 2, alpha_bar, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("wrong", [1.001, float("nan")])
@pytest.mark.parametrize("which", [0, 1])
def test_an_export_that_computes_something_else_is_not_written(tmp_path, which, wrong):
    export = load_export(write_model(tmp_path / "tiny.safetensors", NETWORKS["all at once"]))
    assert check_equal(export, lambda inputs: export.module(**inputs), tmp_path / "out.onnx") == 0

    def computed(inputs):
        found = list(export.module(**inputs))
        found[which] = found[which] * wrong
        return found

    with pytest.raises(RequestError, match="out.onnx is not written: as exported, the network differs"):
        check_equal(export, computed, tmp_path / "out.onnx")


@pytest.mark.parametrize("name", ["onnxruntime", "onnxscript"])
def test_what_has_to_be_installed_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RequestError, match=f"to_onnx needs {name}: pip install -r requirements-interop.txt"):
        to_onnx(f"{ROOT}/checkpoints/mnist_mini.safetensors", str(tmp_path / "out.onnx"))


def test_exports_that_cannot_be_are_refused_in_one_line(tmp_path):
    model = write_model(tmp_path / "tiny.safetensors", [])
    for command, ending in (("to_onnx", ".onnx"), ("to_pt2", ".pt2")):
        refused(run("interop/__main__.py", command, model, tmp_path / "out"), "must end with", ending)
        refused(run("interop/__main__.py", command, tmp_path / f"no{ending}", tmp_path / f"x{ending}"), "does not exist")
        shutil.copy(model, tmp_path / "bad.safetensors")
        with open(tmp_path / "bad.safetensors", "r+b") as file:
            file.truncate(1000)
        refused(run("interop/__main__.py", command, tmp_path / "bad.safetensors", tmp_path / f"x{ending}"), "bad.safetensors")
    assert not list(tmp_path.glob("*.onnx")) and not list(tmp_path.glob("*.pt2"))
