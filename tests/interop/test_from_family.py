"""Checkpoints of related projects: the same network by our names, or a refusal that says what is in the way."""

import pickle

import pytest
import torch

from interop import open_checkpoint
from interop.lucidrains import FOREIGN
from models import build_model
from tests.interop import openai_unet
from tests.processes import done, refused, run
from tests.utils.test_checkpoints import Mark
from utils.untrusted import load_weights

# (width, mults, blocks, levels with attention, channels in, out, scale and shift, classes), T, and what is said of it
OPENAI = {
    "its defaults": ((32, (1, 2), 2, (1,), 3, 3, True, 0), 1000, []),
    "learned variance, 4,000 steps, cosine": ((32, (1, 1, 2), 1, (1, 2), 3, 6, True, 0), 4000, ["diffusion.beta_schedule=cosine"]),
    "classes, one head, time added": ((32, (1, 2), 1, (0,), 1, 1, False, 5), 1000, ["model.num_heads=1"]),
}


def randomised(shapes):
    """Weights of which every one matters."""
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}


def convert(file, out, size, channels, timestep_num, overrides):
    arguments = ["--image_size", size, "--image_channel", channels, "--training_timestep_num", timestep_num]
    return run("interop/__main__.py", "from_family", file, out, *arguments, *(w for each in overrides for w in ("--set", each)))


def network_of(path):
    checkpoint = open_checkpoint(path)
    network = build_model(**checkpoint.settings.model_arguments()).eval()
    load_weights(network, checkpoint.state_dict, path)
    return network, checkpoint.settings


@pytest.mark.parametrize("case", OPENAI)
def test_improved_diffusions_network_is_ours_by_other_names(tmp_path, case):
    shape, timestep_num, overrides = OPENAI[case]
    weights = randomised(openai_unet.shapes(*shape))
    torch.save(weights, tmp_path / "ema_0.9999_500000.pt")
    out = tmp_path / "out.safetensors"
    printed = done(convert(tmp_path / "ema_0.9999_500000.pt", out, 16, shape[4], timestep_num, overrides))
    assert "Assumed:" in printed and (tmp_path / "README.md").exists()
    network, settings = network_of(out)
    assert settings.diffusion.variance == ("learned" if shape[5] == 6 else "fixed_large")
    assert settings.diffusion.beta_schedule == ("cosine" if overrides[:1] == ["diffusion.beta_schedule=cosine"] else "linear")
    torch.manual_seed(1)
    x, t = torch.randn(3, shape[4], 16, 16), torch.tensor([0, 7, timestep_num - 1])
    y = torch.tensor([0, 3, 4]) if shape[7] else None
    with torch.no_grad():
        wanted = openai_unet.forward(weights, x, t * 1000 / timestep_num, y, heads=1 if "num_heads" in str(overrides) else 4)
        torch.testing.assert_close(network(x, t, y), wanted, rtol=1e-4, atol=1e-4)
    assert wanted.std() > 0.1
    drawn = ["--model_path", out, "--sample_num", 2, "--sample_info", "DPMPP_2_0p0", "--save_dir", tmp_path / "drawn"]
    if case == "its defaults":
        done(run("test_solver.py", *drawn))  # and so with all else


def test_our_copy_of_that_network_is_openais_own():
    """By OpenAI's code, where it lies beside this project: pip install --no-deps guided-diffusion-sdk."""
    unet = pytest.importorskip("guided_diffusion.unet")
    for shape, *_ in OPENAI.values():
        width, mults, blocks, attended, c_in, c_out, scale_shift, num_classes = shape
        heads = 1 if num_classes else 4
        theirs = unet.UNetModel(
            16, c_in, width, c_out, blocks, tuple(2**level for level in attended), channel_mult=mults,
            num_classes=num_classes or None, num_heads=heads, use_scale_shift_norm=scale_shift,
        ).eval()  # fmt: skip
        weights = randomised(openai_unet.shapes(*shape))
        theirs.load_state_dict(weights)
        x, t = torch.randn(2, c_in, 16, 16), torch.tensor([3.25, 999.0])
        y = torch.tensor([1, 4]) if num_classes else None
        with torch.no_grad():
            torch.testing.assert_close(theirs(x, t, y), openai_unet.forward(weights, x, t, y, heads), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda w: w.pop("out.2.weight"), ["no exit"]),
        (lambda w: w.update({"input_blocks.0.0.weight": torch.zeros(32, 6, 3, 3)}), ["6 channels in", "super-resolution"]),
        (lambda w: [w.pop(f"input_blocks.2.0.op.{part}") for part in ("weight", "bias")], ["conv_resample"]),
        (lambda w: w.update({"out.2.weight": torch.zeros(5, 32, 3, 3)}), ["5 channels out"]),
        (lambda w: w.update({"extra.weight": torch.zeros(1)}), ["1 tensors differ", "extra.weight"]),
    ],
)
def test_what_ours_is_not_is_refused_by_name(tmp_path, change, words):
    weights = randomised(openai_unet.shapes(32, (1, 2), 1, (), 3, 3, True, 0))
    change(weights)
    torch.save(weights, tmp_path / "model.pt")
    refused(convert(tmp_path / "model.pt", tmp_path / "out.safetensors", 16, 3, 1000, []), "model.pt", *words)
    assert not (tmp_path / "out.safetensors").exists()


def test_files_of_the_older_scripts_become_ours(tmp_path):
    arguments = {"image_size": 16, "image_channel": 1, "base_channels": 32, "channel_mult": [1, 2], "num_res_blocks": 1,
                 "attention_resolutions": [8], "num_heads": 2, "dropout": 0.0, "norm_groups": 8, "patch_size": 1}  # fmt: skip
    model = build_model(**arguments)
    torch.save({"epoch": 3, "unet_model": model.state_dict()}, tmp_path / "old.pt")
    overrides = ["model.num_heads=2", "model.norm_groups=8", "diffusion.objective=pred_v"]
    done(convert(tmp_path / "old.pt", tmp_path / "new.safetensors", 16, 1, 500, overrides))
    network, settings = network_of(tmp_path / "new.safetensors")
    assert settings.model_arguments().items() >= arguments.items()
    assert (settings.diffusion.timestep_num, settings.diffusion.objective) == (500, "pred_v")
    torch.testing.assert_close(dict(network.state_dict()), dict(model.state_dict()), rtol=0, atol=0)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "license: unknown" in card and "Not named in the file" in card and "raw weights" in card


@pytest.mark.slow  # its package takes seconds to load
def test_lucidrains_networks_are_refused_by_name(tmp_path):
    """By its own package, where it is installed; see benchmarks/lucidrains.py."""
    theirs = pytest.importorskip("denoising_diffusion_pytorch")
    from ema_pytorch import EMA

    diffusion = theirs.GaussianDiffusion(theirs.Unet(8, dim_mults=(1, 2), channels=3), image_size=16, timesteps=10)
    state = {"step": 3, "model": diffusion.state_dict(), "ema": EMA(diffusion).state_dict(), "version": "2.0"}
    torch.save(state, tmp_path / "model-1.pt")
    words = ["denoising-diffusion-pytorch", *FOREIGN.values(), "7x7", "draw from this one with its own package"]
    refused(convert(tmp_path / "model-1.pt", tmp_path / "out.safetensors", 16, 3, 10, []), *words)


def test_lucidrains_files_are_known_by_their_names(tmp_path):
    weights = {"ema_model.model.init_conv.weight": torch.zeros(8, 3, 7, 7), "ema_model.model.mid_attn.mem_kv": torch.zeros(2)}
    torch.save({"step": 1, "model": {}, "ema": weights}, tmp_path / "model-1.pt")
    process = convert(tmp_path / "model-1.pt", tmp_path / "out.safetensors", 16, 3, 1000, [])
    refused(process, "denoising-diffusion-pytorch", "memory", "improved-diffusion")


def test_other_files_are_refused_in_one_line(tmp_path):
    out = tmp_path / "out.safetensors"
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"epoch": Mark(str(tmp_path / "mark"))}))
    refused(convert(tmp_path / "evil.pt", out, 16, 3, 1000, []), "never done")
    assert not (tmp_path / "mark").exists()
    torch.save({"something": torch.zeros(1)}, tmp_path / "other.pt")
    refused(convert(tmp_path / "other.pt", out, 16, 3, 1000, []), "none of the projects", "something")
    torch.save({"conv_in.weight": torch.zeros(1)}, tmp_path / "diffusers.pt")
    refused(convert(tmp_path / "diffusers.pt", out, 16, 3, 1000, []), "from_diffusers")
    refused(convert("checkpoints/emoji.safetensors", out, 32, 3, 1000, []), "already")
    torch.save({"epoch": 1, "unet_model": {"down_blocks.0.0.weight": torch.zeros(0, 1, 3, 3)}}, tmp_path / "empty.pt")
    refused(convert(tmp_path / "empty.pt", out, 16, 3, 1000, []), "not those of a network")
    refused(convert(tmp_path / "other.pt", tmp_path / "out.pt", 16, 3, 1000, []), "must end with .safetensors")
    assert not out.exists()


def test_a_checkpoint_of_rectangular_pictures(tmp_path):
    shape, timestep_num, overrides = OPENAI["its defaults"]
    torch.save(randomised(openai_unet.shapes(*shape)), tmp_path / "model.pt")
    out = tmp_path / "out.safetensors"
    done(convert(tmp_path / "model.pt", out, "16x32", shape[4], timestep_num, overrides))
    network, settings = network_of(out)
    assert settings.data.image_size == [16, 32]
    with torch.no_grad():
        assert network(torch.zeros(1, shape[4], 16, 32), torch.zeros(1, dtype=torch.int64)).shape[2:] == (16, 32)
    refused(convert(out, out, "16y32", shape[4], timestep_num, overrides), "neither a whole number nor HEIGHTxWIDTH")
