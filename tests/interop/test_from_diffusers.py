"""Pipelines that diffusers made, read as ours: its own networks and schedulers say what is right."""

import copy

import pytest
import torch
from diffusers import (
    DDIMPipeline,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    PNDMScheduler,
)

from diffusion import SampleInfo, sample
from interop.from_diffusers import run as from_diffusers
from tests.interop.pipelines import (
    CELEBA,
    CIFAR,
    EXAMPLE,
    SMALL,
    narrow,
    pipeline,
    save_in_first_layout,
    trained,
)
from utils.checkpoints import load_checkpoint

NETWORKS = {
    "ddpm-cifar10-32": narrow(CIFAR),
    "ddpm-celebahq-256": narrow(CELEBA),
    "the training example": narrow(EXAMPLE),
    "grey": SMALL,
    "heads of one size at two widths": SMALL | {"down_block_types": ["AttnDownBlock2D"] * 2, "up_block_types": ["AttnUpBlock2D"] * 2},
    "rectangles": SMALL | {"sample_size": (16, 8)},
    "sines first": SMALL | {"flip_sin_to_cos": False},
    "frequencies shifted": SMALL | {"freq_shift": 1},
    "padding below and right": SMALL | {"downsample_padding": 0},
    "another epsilon": SMALL | {"norm_eps": 1e-2},
    "no attention in the middle": SMALL | {"add_attention": False},
    "no attention at all": SMALL | {"add_attention": False, "down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2},
    "one level": SMALL | {"block_out_channels": [8], "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"]},
}  # fmt: skip


def imported(pipe, tmp_path, **options):
    pipe.save_pretrained(tmp_path / "theirs")
    from_diffusers(str(tmp_path / "theirs"), str(tmp_path / "ours.safetensors"), **options)
    return trained(tmp_path / "ours.safetensors")


def check_same_network(ours, unet, side=None):
    """Also at a smaller side than the network's own, as it is the same at every."""
    shape = ours.shape if side is None else (ours.shape[0], side, side)
    x, t = torch.randn(3, *shape), torch.tensor([0, 500, 999])
    with torch.no_grad():
        expected = unet(x, t).sample
        torch.testing.assert_close(ours.network(x, t), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.1


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_the_network_is_the_same(tmp_path, config):
    pipe = pipeline(config)
    check_same_network(imported(pipe, tmp_path), pipe.unet, side=32 if config["sample_size"] in (64, 256) else None)


@pytest.mark.parametrize("size", [None, 1, 4, 8])
def test_the_sizes_of_heads(tmp_path, size):
    pipe = pipeline(SMALL | {"attention_head_dim": size})
    check_same_network(imported(pipe, tmp_path), pipe.unet)


def test_the_first_layout_a_pickle_and_the_old_names_at_full_width(tmp_path):
    """google/ddpm-cifar10-32 as it lies, 35.7M parameters, with other weights."""
    pipe = pipeline(CIFAR)
    save_in_first_layout(pipe, tmp_path / "ddpm-cifar10-32")
    from_diffusers(str(tmp_path / "ddpm-cifar10-32"), str(tmp_path / "ours.safetensors"))
    ours = trained(tmp_path / "ours.safetensors")
    check_same_network(ours, pipe.unet, side=16)
    assert (ours.data_name, ours.diffusion.variance, ours.diffusion.clip_denoised) == ("ddpm-cifar10-32", "fixed_large", True)
    assert load_checkpoint(tmp_path / "ours.safetensors").settings.diffusion.beta_schedule == "linear"


@pytest.mark.slow
def test_celebahq_at_full_width(tmp_path):
    pipe = pipeline(CELEBA)
    check_same_network(imported(pipe, tmp_path), pipe.unet, side=32)


def test_the_file_of_the_weights_and_a_half_precision_variant(tmp_path):
    pipe = pipeline(SMALL)
    half = copy.deepcopy(pipe).to(torch.float16)
    half.save_pretrained(tmp_path / "half", variant="fp16")
    from_diffusers(str(tmp_path / "half"), str(tmp_path / "a.safetensors"))
    from_diffusers(str(tmp_path / "half/unet/diffusion_pytorch_model.fp16.safetensors"), str(tmp_path / "b.safetensors"))
    from_diffusers(str(tmp_path / "half/unet"), str(tmp_path / "c.safetensors"))
    check_same_network(trained(tmp_path / "a.safetensors"), half.to(torch.float32).unet)
    states = [load_checkpoint(tmp_path / f"{name}.safetensors").state_dict for name in "abc"]
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)
    torch.testing.assert_close(states[0], states[2], rtol=0, atol=0)


# Classes


@pytest.mark.parametrize("null_class, order", [(None, [0, 1, 2, 3]), (3, [0, 1, 2, 3]), (1, [0, 2, 3, 1])])
def test_classes_and_which_of_them_is_none(tmp_path, null_class, order):
    pipe = pipeline(SMALL | {"num_class_embeds": 4})
    ours = imported(pipe, tmp_path, null_class=null_class)
    assert ours.num_classes == (4 if null_class is None else 3)
    x, t = torch.randn(4, *ours.shape), torch.tensor([0, 9, 500, 999])
    with torch.no_grad():
        expected = pipe.unet(x, t, class_labels=torch.tensor(order)).sample
        torch.testing.assert_close(ours.network(x, t, torch.arange(4)), expected, rtol=0, atol=1e-5)
        if null_class is None:  # no class is the mean of all
            pipe.unet.class_embedding.weight[0] = pipe.unet.class_embedding.weight.mean(dim=0)
            expected = pipe.unet(x, t, class_labels=torch.zeros(4, dtype=torch.long)).sample
            torch.testing.assert_close(ours.network(x, t, torch.full((4,), 4)), expected, rtol=0, atol=1e-5)


# Schedulers

SCHEDULERS = {
    "linear": (DDPMScheduler, {}, "linear"),
    "cosine": (DDPMScheduler, {"beta_schedule": "squaredcos_cap_v2"}, "cosine"),
    "scaled linear": (DDPMScheduler, {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}, "given"),
    "sigmoid": (DDPMScheduler, {"beta_schedule": "sigmoid"}, "given"),
    "other ends": (DDIMScheduler, {"num_train_timesteps": 100, "beta_end": 0.1}, "given"),
    "trained betas": (DDPMScheduler, {"num_train_timesteps": 40, "trained_betas": [0.005 * i + 0.001 for i in range(40)]}, "given"),
    "zero terminal SNR": (DDIMScheduler, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}, "linear"),
    "dynamic thresholding": (DDPMScheduler, {"thresholding": True, "sample_max_value": 1e9}, "linear"),
    "thresholding that clips": (DDPMScheduler, {"thresholding": True, "clip_sample": False}, "linear"),
    "x_0": (DDPMScheduler, {"prediction_type": "sample", "variance_type": "fixed_small_log"}, "linear"),
    "no clipping": (DDPMScheduler, {"prediction_type": "sample", "clip_sample": False}, "linear"),
}  # fmt: skip


@pytest.mark.parametrize("kind, options, schedule", SCHEDULERS.values(), ids=SCHEDULERS)
def test_the_same_pictures_from_the_same_noise(tmp_path, kind, options, schedule):
    pipe = pipeline(SMALL)
    pipe.scheduler = kind(**options, timestep_spacing="trailing")
    ours = imported(pipe, tmp_path)
    assert load_checkpoint(tmp_path / "ours.safetensors").settings.diffusion.beta_schedule == schedule
    generator, again = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)

    def noise_like(x):
        return torch.randn(x.shape, generator=generator)

    method, steps = ("DDIM", 10) if kind is DDIMScheduler else ("DDPM", 10)
    x_T = noise_like(torch.empty(2, *ours.shape))
    pictures = sample(ours.network, ours.diffusion, x_T, SampleInfo.parse(f"{method}_{steps}_0p0"), noise_like=noise_like)
    asked = {"batch_size": 2, "num_inference_steps": steps, "output_type": "pt", "generator": again}
    if kind is DDIMScheduler:
        pipe, asked = DDIMPipeline(pipe.unet, pipe.scheduler), asked | {"use_clipped_model_output": True}
        pipe.set_progress_bar_config(disable=True)
    torch.testing.assert_close((pictures / 2 + 0.5).clamp(0, 1), pipe(**asked).images, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", [PNDMScheduler, DPMSolverMultistepScheduler])
def test_other_schedulers_of_the_same_process(tmp_path, kind):
    pipe = pipeline(SMALL)
    pipe.scheduler = kind(beta_schedule="squaredcos_cap_v2")
    ours = imported(pipe, tmp_path)
    table = torch.tensor([ours.diffusion.alpha_bar(t) for t in range(1000)])
    torch.testing.assert_close(table, pipe.scheduler.alphas_cumprod, rtol=1e-4, atol=1e-6)
    assert ours.diffusion.clip_denoised is False  # they know no clipping


def test_a_learned_variance(tmp_path):
    pipe = pipeline(SMALL | {"out_channels": 2}, {"variance_type": "learned_range", "num_train_timesteps": 10})
    ours = imported(pipe, tmp_path)
    generator, again = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    x_T = torch.randn(2, *ours.shape, generator=generator)
    noise = {"noise_like": lambda x: torch.randn(x.shape, generator=generator)}
    pictures = sample(ours.network, ours.diffusion, x_T, SampleInfo.parse("DDPM_10_0p0"), **noise)
    theirs = pipe(batch_size=2, num_inference_steps=10, output_type="pt", generator=again).images
    torch.testing.assert_close((pictures / 2 + 0.5).clamp(0, 1), theirs, rtol=0, atol=1e-4)
