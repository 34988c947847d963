"""Flow matching's networks to diffusers and back: its FlowMatchEulerDiscreteScheduler draws what our DDIM draws."""

import json

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DModel

from diffusion import SampleInfo, sample
from interop.from_diffusers import run as from_diffusers
from interop.to_diffusers import run as to_diffusers
from sampling.network import sampling_network
from tests.interop.pipelines import SMALL, change_json, checkpoint, load_pipeline, randomise, trained
from utils.checkpoints import load_checkpoint
from utils.errors import RequestError

FLOW = {"beta_schedule": "flow", "objective": "pred_flow", "network_input": "x_u", "zero_terminal_snr": True, "clip_denoised": False}
PICTURES = {"rtol": 0, "atol": 1e-4}  # float32, values of order 1
STEPS = 10


def drawn_by_us(ours, x_T, pairs=None):
    """By DDIM with eta 0, from the noise x_T."""
    network = sampling_network(ours.network, ours.diffusion)
    return sample(network, ours.diffusion, x_T, SampleInfo.parse(f"DDIM_{STEPS}_0p0"), pairs=pairs)


@torch.no_grad()
def drawn_by_them(unet, scheduler, x, **options):
    """By the loop of their pipelines: what it keeps is x_u, which is the noise itself at u = 1."""
    scheduler.set_timesteps(STEPS, **options)
    for t in scheduler.timesteps:
        x = scheduler.step(unet(x, t).sample, t, x).prev_sample
    return x


def check_same_pictures(ours, unet, scheduler):
    """At their own sigmas, which without a shift are on our grid: 1,000 steps from 999 to 0 in nine equal jumps. And at the
    times of DDIM_10_0p0, u = 1, 0.9, ..., which their scheduler shifts as the training was."""
    x_T = torch.randn(2, *ours.shape, generator=torch.Generator().manual_seed(3))
    if scheduler.config.shift == 1 and ours.diffusion.timestep_num == 1000:
        times = [*range(999, -1, -111), -1]
        expected = drawn_by_us(ours, x_T, list(zip(times[:-1], times[1:])))
        torch.testing.assert_close(drawn_by_them(unet, scheduler, x_T), expected, **PICTURES)
    expected = drawn_by_us(ours, x_T)
    sigmas = [1 - k / STEPS for k in range(STEPS)]
    torch.testing.assert_close(drawn_by_them(unet, scheduler, x_T, sigmas=sigmas), expected, **PICTURES)
    assert 0.1 < expected.std() < 10


@pytest.mark.parametrize("shift, T", [(1.0, 1000), (3.0, 1000), (0.5, 200)])
def test_there_and_back_and_the_same_pictures(tmp_path, shift, T):
    path = checkpoint(tmp_path / "model.safetensors", diffusion={**FLOW, "shift": shift, "timestep_num": T})
    to_diffusers(str(path), str(tmp_path / "out"))
    ours, pipe = trained(path), load_pipeline(tmp_path / "out")
    assert isinstance(pipe.scheduler, FlowMatchEulerDiscreteScheduler)
    t = torch.tensor([0, 1, T // 2, T - 1])
    u = shift * (t + 1) / T / (1 + (shift - 1) * (t + 1) / T)
    x_u = torch.randn(4, *ours.shape)
    x_t = x_u / ((1 - u) ** 2 + u**2).sqrt().view(-1, 1, 1, 1)
    with torch.no_grad():
        output = sampling_network(ours.network, ours.diffusion)(x_t, t)
        torch.testing.assert_close(pipe.unet(x_u, T * u).sample, output, rtol=0, atol=2e-5)
    check_same_pictures(ours, pipe.unet, pipe.scheduler)
    from_diffusers(str(tmp_path / "out"), str(tmp_path / "again.safetensors"))
    again = trained(tmp_path / "again.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(sampling_network(again.network, again.diffusion)(x_t, t), output, rtol=0, atol=0)
    before, after = (load_checkpoint(each).settings.diffusion.model_dump() for each in (path, tmp_path / "again.safetensors"))
    kept = {*FLOW, "timestep_num"}
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert after.get("shift", 1.0) == shift


@pytest.mark.parametrize("options", [{}, {"shift": 2.0, "num_train_timesteps": 500}], ids=["plain", "shifted"])
def test_a_pipeline_of_their_own_making(tmp_path, options):
    """Written part by part by diffusers, without model_index.json, all the scheduler's other options as it sets them."""
    unet, scheduler = randomise(UNet2DModel(**SMALL)), FlowMatchEulerDiscreteScheduler(**options)
    unet.save_pretrained(tmp_path / "theirs/unet")
    scheduler.save_pretrained(tmp_path / "theirs/scheduler")
    from_diffusers(str(tmp_path / "theirs"), str(tmp_path / "ours.safetensors"))
    check_same_pictures(trained(tmp_path / "ours.safetensors"), unet, scheduler)


def test_their_pipeline_draws_from_it_and_so_does_the_card(tmp_path, monkeypatch, capsys):
    path = checkpoint(tmp_path / "model.safetensors", model={"num_classes": 2}, diffusion={**FLOW, "clip_denoised": True})
    to_diffusers(str(path), str(tmp_path / "out"), class_label="1")
    assert "does not clip x_0" in capsys.readouterr().out
    generator = torch.Generator().manual_seed(0)
    pipe = load_pipeline(tmp_path / "out")
    pictures = pipe(batch_size=2, num_inference_steps=STEPS, output_type="pt", generator=generator).images
    x_T = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = drawn_by_them(pipe.unet, pipe.scheduler, x_T)
    torch.testing.assert_close(pictures, (expected / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-6)
    to_diffusers(str(path), str(tmp_path / "classes"))
    code = (tmp_path / "classes/README.md").read_text().rpartition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path / "classes")
    found = {}
    exec(code.replace("set_timesteps(50)", "set_timesteps(2)"), found)
    assert found["pictures"].shape == (16, 1, 16, 16) and 0 <= found["pictures"].min() < found["pictures"].max() <= 1


def test_what_lies_just_below_pure_noise_is_written_and_said(tmp_path, capsys):
    path = checkpoint(tmp_path / "model.safetensors", diffusion={**FLOW, "zero_terminal_snr": False})
    to_diffusers(str(path), str(tmp_path / "out"))
    assert "begins at u = 1, as after training with diffusion.zero_terminal_snr=true" in capsys.readouterr().out
    ours, pipe = trained(path), load_pipeline(tmp_path / "out")
    x_T = torch.randn(2, *ours.shape, generator=torch.Generator().manual_seed(3))
    theirs = drawn_by_them(pipe.unet, pipe.scheduler, x_T, sigmas=[1 - k / STEPS for k in range(STEPS)])
    torch.testing.assert_close(theirs, drawn_by_us(ours, x_T), rtol=0, atol=1e-2)  # u is 0.99997 there


REFUSED = {
    "shown x_t": ({"network_input": "x_t"}, {}, ["diffusion.network_input x_t", "trained with diffusion.network_input=x_u can"]),
    "another schedule": ({"beta_schedule": "cosine"}, {}, ["diffusion.beta_schedule cosine", "diffusion.beta_schedule=flow can"]),
    "a learned variance": ({"variance": "learned"}, {}, ["diffusion.variance learned", "--fixed_variance leaves it out"]),
    "another objective": ({"objective": "pred_v"}, {}, ["diffusion.network_input x_u", "diffusion.objective pred_v", "with pred_flow it can"]),
}  # fmt: skip


@pytest.mark.parametrize("changes, options, words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_written_is_refused_by_name(tmp_path, changes, options, words):
    path = checkpoint(tmp_path / "model.safetensors", diffusion={**FLOW, **changes})
    with pytest.raises(RequestError) as error:
        to_diffusers(str(path), str(tmp_path / "out"), **options)
    message = str(error.value)
    assert all(word in message for word in words) and "\n" not in message, message
    assert not (tmp_path / "out").exists()


def test_a_fixed_variance_instead_of_a_learned_one_is_written(tmp_path):
    path = checkpoint(tmp_path / "model.safetensors", diffusion={**FLOW, "variance": "learned"})
    to_diffusers(str(path), str(tmp_path / "out"), fixed_variance=True)
    assert json.loads((tmp_path / "out/unet/config.json").read_text())["out_channels"] == 1


UNREAD = {
    "dynamic shifting": ({"use_dynamic_shifting": True}, ["use_dynamic_shifting", "not True"]),
    "Karras' sigmas": ({"use_karras_sigmas": True}, ["use_karras_sigmas", "not True"]),
    "exponential sigmas": ({"use_exponential_sigmas": True}, ["use_exponential_sigmas", "not True"]),
    "beta sigmas": ({"use_beta_sigmas": True}, ["use_beta_sigmas", "not True"]),
    "inverted sigmas": ({"invert_sigmas": True}, ["invert_sigmas", "not True"]),
    "a stretched end": ({"shift_terminal": 0.1}, ["shift_terminal", "not 0.1"]),
    "noise on the way": ({"stochastic_sampling": True}, ["stochastic_sampling", "not True"]),
    "a shift of nothing": ({"shift": 0.0}, ["shift", "greater than or equal to 0.01"]),
    "one step": ({"num_train_timesteps": 1}, ["num_train_timesteps", "greater than or equal to 2"]),
    "steps without end": ({"num_train_timesteps": 10**9}, ["num_train_timesteps", "less than or equal"]),
    "an unknown key": ({"use_flow_sigmas": True}, ["use_flow_sigmas"]),
    "another class of flow": ({"_class_name": "FlowMatchHeunDiscreteScheduler"}, ["FlowMatchHeunDiscreteScheduler cannot", "FlowMatchEulerDiscreteScheduler can"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow")
    randomise(UNet2DModel(**SMALL)).save_pretrained(folder / "unet")
    return folder


@pytest.mark.parametrize("changes, words", UNREAD.values(), ids=UNREAD)
def test_what_cannot_be_read_is_refused_by_name(theirs, tmp_path, changes, words):
    FlowMatchEulerDiscreteScheduler().save_pretrained(theirs / "scheduler")
    change_json(theirs / "scheduler/scheduler_config.json", **changes)
    with pytest.raises(RequestError) as error:
        from_diffusers(str(theirs), str(tmp_path / "out.safetensors"))
    message = str(error.value)
    assert all(word in message for word in words) and "\n" not in message, message
    assert not (tmp_path / "out.safetensors").exists()


def test_twice_the_channels_out_are_refused(tmp_path):
    randomise(UNet2DModel(**SMALL | {"out_channels": 2})).save_pretrained(tmp_path / "unet")
    FlowMatchEulerDiscreteScheduler().save_pretrained(tmp_path / "scheduler")
    with pytest.raises(RequestError, match="has no variance, and the network twice the channels out"):
        from_diffusers(str(tmp_path), str(tmp_path / "out.safetensors"))
