"""What to_diffusers writes, loaded and drawn from by diffusers itself."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMPipeline, DDPMPipeline, DPMSolverMultistepScheduler, UniPCMultistepScheduler
from PIL import Image

from diffusion import SampleInfo, sample
from interop.from_diffusers import run as from_diffusers
from interop.to_diffusers import run as to_diffusers
from tests.interop.pipelines import checkpoint, load_pipeline, trained
from tests.processes import done, refused, run
from utils.checkpoints import load_checkpoint
from utils.errors import RequestError

NETWORKS = {
    "grey": {},
    "colour": {"data": {"image_channel": 3}},
    "rectangles": {"data": {"image_size": [32, 16]}},
    "classes": {"model": {"num_classes": 3}},
    "one head at two widths": {"model": {"num_heads": 1, "attention_resolutions": [16, 8], "channel_mult": [1, 2]}},
    "heads by their channels": {"model": {"num_heads": None, "head_channels": 8, "attention_resolutions": [16]}},
    "no attention but the middle's": {"model": {"attention_resolutions": [], "num_res_blocks": 2, "channel_mult": [1, 2, 2]}},
    "options of theirs": {"model": {"attention_bias": True, "norm_eps": 1e-3, "asymmetric_padding": True, "frequency_shift": 1}},
    "time as scale and shift": {"model": {"scale_shift_norm": True, "attention_bias": True}},
}  # fmt: skip


@pytest.mark.parametrize("changes", NETWORKS.values(), ids=NETWORKS)
def test_the_network_is_the_same(tmp_path, changes):
    path = checkpoint(tmp_path / "model.safetensors", **changes)
    to_diffusers(str(path), str(tmp_path / "out"))
    ours, theirs = trained(path), load_pipeline(tmp_path / "out").unet
    x, t = torch.randn(4, *ours.shape), torch.tensor([0, 1, 500, 999])
    y = torch.tensor([0, 1, 2, 3]) if ours.num_classes else None  # 3 is no class
    with torch.no_grad():
        output = ours.network(x, t) if y is None else ours.network(x, t, y)
        torch.testing.assert_close(theirs(x, t, class_labels=y).sample, output, rtol=0, atol=1e-5)
    assert output.std() > 0.1


def test_its_folder_is_drawn_from_as_it_is(tmp_path):
    path = checkpoint(tmp_path / "model.safetensors")
    to_diffusers(str(path), str(tmp_path / "letters"))
    arguments = ["--sample_info", "DDIM_2_0p0", "--sample_num", 2, "--save_images"]
    for model in (path, tmp_path / "letters"):
        done(run("test_solver.py", "--model_path", model, "--save_dir", tmp_path / "out", *arguments))
    pictures = {each.name: each for each in (tmp_path / "out").rglob("*.png")}
    assert any(name.startswith("letters_DDIM_2_0p0") for name in pictures)
    one, other = ((tmp_path / "out" / f"{name}_DDIM_2_0p0_images/000001.png") for name in (tmp_path.name, "letters"))
    difference = np.asarray(Image.open(one)).astype(int) - np.asarray(Image.open(other)).astype(int)
    assert np.abs(difference).max() <= 1


DIFFUSIONS = {
    "noise, cosine": {"objective": "pred_noise", "clip_denoised": True},
    "noise, linear, large variance": {"objective": "pred_noise", "beta_schedule": "linear", "variance": "fixed_large", "timestep_num": 40},
    "linear, few steps of training": {"beta_schedule": "linear", "timestep_num": 100},
    "x_0, sigmoid": {"objective": "pred_x0", "beta_schedule": "sigmoid", "clip_denoised": False},
    "dynamic thresholding": {"objective": "pred_noise", "clip_denoised": "dynamic"},
    "zero terminal SNR": {"beta_schedule": "linear", "zero_terminal_snr": True, "clip_denoised": False},
    "zero terminal SNR of a sigmoid": {"beta_schedule": "sigmoid", "zero_terminal_snr": True},
    "given betas": {"beta_schedule": "given", "timestep_num": 20, "betas": [0.01 * (i + 1) for i in range(20)]},
    "EDM's preconditioning of unit variance": {"objective": "pred_edm", "sigma_data": 1.0, "variance": "learned", "timestep_num": 10},
    "learned variance": {"variance": "learned", "timestep_num": 10},
}  # fmt: skip


def drawn_by_us(ours, text, generator):
    """Pictures in [0, 1], as their pipelines return them, with noise from the same generator in the same order."""

    def noise_like(x):
        return torch.randn(x.shape, generator=generator)

    x_T = noise_like(torch.empty(2, *ours.shape))
    return (sample(ours.network, ours.diffusion, x_T, SampleInfo.parse(text), noise_like=noise_like) / 2 + 0.5).clamp(0, 1)


@pytest.mark.parametrize("diffusion", DIFFUSIONS.values(), ids=DIFFUSIONS)
def test_ddpm_draws_the_same_pictures_from_the_same_noise(tmp_path, diffusion):
    path = checkpoint(tmp_path / "model.safetensors", diffusion=diffusion)
    to_diffusers(str(path), str(tmp_path / "out"))
    ours, pipe = trained(path), load_pipeline(tmp_path / "out")
    # Their last step adds no noise if it begins at t = 0: with a variance of which some is left there, all steps are taken.
    steps = 10 if ours.diffusion.variance == "fixed_small" else ours.diffusion.timestep_num
    expected = drawn_by_us(ours, f"DDPM_{steps}_0p0", torch.Generator().manual_seed(3))
    options = {"batch_size": 2, "num_inference_steps": steps, "output_type": "pt"}
    pictures = pipe(generator=torch.Generator().manual_seed(3), **options).images
    torch.testing.assert_close(pictures, expected, rtol=0, atol=1e-4)
    assert expected.std() > 0.1


@pytest.mark.parametrize("objective", ["pred_noise", "pred_x0", "pred_v"])
@pytest.mark.parametrize("eta", ["0p0", "0p5"])
def test_ddim_draws_the_same_pictures_from_the_same_noise(tmp_path, objective, eta):
    path = checkpoint(tmp_path / "model.safetensors", diffusion={"objective": objective})
    to_diffusers(str(path), str(tmp_path / "out"))
    ours, pipe = trained(path), load_pipeline(tmp_path / "out", DDIMPipeline)
    expected = drawn_by_us(ours, f"DDIM_10_{eta}", torch.Generator().manual_seed(3))
    options = {"batch_size": 2, "num_inference_steps": 10, "output_type": "pt", "eta": float(eta.replace("p", "."))}
    options |= {"use_clipped_model_output": True}  # the noise is derived again from the clipped x_0, as it is here
    pictures = pipe(generator=torch.Generator().manual_seed(3), **options).images
    torch.testing.assert_close(pictures, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", [DPMSolverMultistepScheduler, UniPCMultistepScheduler])
def test_other_schedulers_draw_from_it(tmp_path, kind):
    to_diffusers(str(checkpoint(tmp_path / "model.safetensors")), str(tmp_path / "out"))
    pipe = load_pipeline(tmp_path / "out")
    scheduler = kind.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(5)
    x = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(pipe.unet(x, t).sample, t, x).prev_sample
    assert x.isfinite().all() and 0.05 < x.std() < 5


def test_the_shipped_digits_are_drawn_folded(tmp_path):
    """Folding is an order of the values: the process on folded pictures is the same one."""
    path = "checkpoints/mnist_mini_v.safetensors"
    to_diffusers(path, str(tmp_path / "out"), folded=True)
    ours, pipe = trained(path), load_pipeline(tmp_path / "out")
    generator = torch.Generator().manual_seed(0)

    def noise_like(x):
        return F.pixel_shuffle(torch.randn(2, 4, 14, 14, generator=generator), 2)

    expected = sample(ours.network, ours.diffusion, noise_like(None), SampleInfo.parse("DDPM_4_0p0"), noise_like=noise_like)
    options = {"batch_size": 2, "num_inference_steps": 4, "output_type": "pt"}
    pictures = pipe(generator=torch.Generator().manual_seed(0), **options).images
    torch.testing.assert_close(F.pixel_shuffle(pictures, 2), (expected / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("asked, label", [("Food Drink", 3), ("3", 3), ("none", 10)])
def test_one_class_of_the_shipped_emoji_is_a_network_without_labels(tmp_path, asked, label):
    path = "checkpoints/emoji.safetensors"
    names = load_checkpoint(path).classes.names
    asked = names[3] if asked == "Food Drink" else asked
    to_diffusers(path, str(tmp_path / "out"), folded=True, class_label=asked)
    ours, theirs = trained(path), load_pipeline(tmp_path / "out").unet
    x, t = torch.randn(2, *ours.shape), torch.tensor([10, 900])
    with torch.no_grad():
        output = ours.network(x, t, torch.full((2,), label))
        found = F.pixel_shuffle(theirs(F.pixel_unshuffle(x, 2), t).sample, 2)
    torch.testing.assert_close(found, output, rtol=0, atol=1e-5)


def test_a_learned_variance_is_left_out_if_asked(tmp_path):
    path = checkpoint(tmp_path / "model.safetensors", diffusion={"variance": "learned"})
    to_diffusers(str(path), str(tmp_path / "out"), fixed_variance=True)
    ours, pipe = trained(path), load_pipeline(tmp_path / "out", DDIMPipeline)
    x, t = torch.randn(2, 1, 16, 16), torch.tensor([10, 900])
    with torch.no_grad():
        torch.testing.assert_close(pipe.unet(x, t).sample, ours.network(x, t)[:, :1], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"num_classes": 3}, "names": ("cat", "dog", "cow")},
        {"model": {"patch_size": 2, "attention_resolutions": [4]}, "data": {"image_channel": 3}},
        {"diffusion": {"beta_schedule": "sigmoid"}},
        *NETWORKS.values(),
    ],
    ids=["names of classes", "folded pixels", "sigmoid", *NETWORKS],
)
def test_there_and_back_is_the_same_checkpoint(tmp_path, changes):
    path, again = checkpoint(tmp_path / "model.safetensors", **changes), tmp_path / "again.safetensors"
    to_diffusers(str(path), str(tmp_path / "out"), folded="patch_size" in changes.get("model", {}))
    from_diffusers(str(tmp_path / "out"), str(again))
    before, after = load_checkpoint(path), load_checkpoint(again)
    biases = {name: tensor for name, tensor in after.state_dict.items() if name.endswith("qkv.bias")}
    if not before.settings.model.attention_bias:  # theirs always have them: ours are zeros there
        assert biases and all((bias == 0).all() for bias in biases.values())
        after = after._replace(state_dict={name: tensor for name, tensor in after.state_dict.items() if name not in biases})
    torch.testing.assert_close(after.state_dict, before.state_dict, rtol=0, atol=0)
    assert after.classes == before.classes
    for name in ("image_size", "image_channel"):
        assert getattr(after.settings.data, name) == getattr(before.settings.data, name)
    for name in ("objective", "beta_schedule", "variance", "clip_denoised", "timestep_num"):
        assert getattr(after.settings.diffusion, name) == getattr(before.settings.diffusion, name)


REFUSED = {
    "folded pixels": ({"model": {"patch_size": 2}}, {}, ["model.patch_size 2", "--folded", "4 channels of 8 x 8"]),
    "EDM's preconditioning": ({"diffusion": {"objective": "pred_edm"}}, {}, ["diffusion.objective pred_edm", "sigma_data 0.5", "with sigma_data 1 it can", "pred_v"]),
    "self-conditioning": ({"diffusion": {"self_condition": True}}, {}, ["diffusion.self_condition", "trained without it"]),
    "a wide first level": ({"model": {"channel_mult": [2, 2]}}, {}, ["model.channel_mult [2, 2]", "begins with 1"]),
    "heads of two sizes": ({"model": {"attention_resolutions": [16, 8]}}, {}, ["model.num_heads 4", "4 and 8 channels", "head_channels"]),
    "folding of nothing": ({}, {"folded": True}, ["--folded", "model.patch_size 1"]),
    "class of none": ({}, {"class_label": "3"}, ["--class_label 3", "without classes"]),
    "no such class": ({"model": {"num_classes": 3}}, {"class_label": "3"}, ["--class_label 3", "0 to 2, or none"]),
    "variance that is fixed": ({}, {"fixed_variance": True}, ["--fixed_variance", "not learned"]),
    "raw weights of a shared file": ({}, {"weights": "raw"}, ["trainer_state.pt"]),
}  # fmt: skip


@pytest.mark.parametrize("changes, options, words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_expressed_is_refused_by_name(tmp_path, changes, options, words):
    path = checkpoint(tmp_path / "model.safetensors", **changes)
    with pytest.raises(RequestError) as error:
        to_diffusers(str(path), str(tmp_path / "out"), **options)
    assert all(word in str(error.value) for word in words), error.value
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("label", [None, "1"])
def test_the_card_says_how_it_is_drawn_from(tmp_path, monkeypatch, label):
    model = {"num_classes": 3, "patch_size": 2, "attention_resolutions": [4]}
    path = checkpoint(tmp_path / "model.safetensors", model=model, diffusion={"timestep_num": 2})
    to_diffusers(str(path), str(tmp_path / "out"), folded=True, class_label=label)
    card = (tmp_path / "out/README.md").read_text()
    assert "--model_path DIR" in card and "in the file's metadata" not in card  # which holds no settings
    code = card.rpartition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path / "out")
    found = {}
    # The pipelines take 1,000 steps unless they are told how many; this one knows 2.
    exec(code.replace("batch_size=16", "batch_size=16, num_inference_steps=2"), found)
    assert found["pictures"].shape == (16, 1, 16, 16) and 0 <= found["pictures"].min() < found["pictures"].max() <= 1


def test_the_command(tmp_path):
    path = checkpoint(tmp_path / "model.safetensors", model={"num_classes": 3})
    out = tmp_path / "out"
    output = done(run("interop/__main__.py", "to_diffusers", path, out))
    assert f"Wrote:   {out / 'model_index.json'}" in output and "of its 4 classes the last, 3, means no class" in output
    assert json.loads((out / "unet/config.json").read_text())["num_class_embeds"] == 4
    refused(run("interop/__main__.py", "to_diffusers", path, out), "DIR", "not empty")
    assert DDPMPipeline.from_pretrained(str(out), local_files_only=True, low_cpu_mem_usage=False).unet.config.sample_size == 16
