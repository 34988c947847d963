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
    change_json,
    narrow,
    pipeline,
    save_in_first_layout,
    trained,
    write_json,
)
from utils.checkpoints import load_checkpoint
from utils.errors import RequestError

SMALL = {
    "sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1, "block_out_channels": [8, 16], "norm_num_groups": 4,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"], "attention_head_dim": 4,
}  # fmt: skip
NETWORKS = {
    "ddpm-cifar10-32": narrow(CIFAR),
    "ddpm-celebahq-256": narrow(CELEBA),
    "the training example": narrow(EXAMPLE),
    "grey": SMALL,
    "heads of one size at two widths": SMALL | {"down_block_types": ["AttnDownBlock2D"] * 2, "up_block_types": ["AttnUpBlock2D"] * 2},
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
    shape = (ours.shape[0], side or ours.shape[1], side or ours.shape[1])
    x, t = torch.randn(3, *shape), torch.tensor([0, 500, 999])
    with torch.no_grad():
        expected = unet(x, t).sample
        torch.testing.assert_close(ours.network(x, t), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.1


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_the_network_is_the_same(tmp_path, config):
    pipe = pipeline(config)
    check_same_network(imported(pipe, tmp_path), pipe.unet, side=min(32, config["sample_size"]))


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


# What cannot be expressed: a change of a configuration, and words of the refusal.
REFUSED = {
    "unet/config.json": {
        "another network": ({"_class_name": "UNet2DConditionModel"}, ["UNet2DConditionModel", "a UNet2DModel can"]),
        "Fourier features": ({"time_embedding_type": "fourier"}, ["time_embedding_type", "'positional'", "fourier"]),
        "norms in space": ({"resnet_time_scale_shift": "spatial"}, ["resnet_time_scale_shift", "'default'"]),
        "another activation": ({"act_fn": "gelu"}, ["act_fn", "'silu' or 'swish'", "gelu"]),
        "skips": ({"down_block_types": ["SkipDownBlock2D", "DownBlock2D"]}, ["down_block_types", "SkipDownBlock2D"]),
        "no middle": ({"mid_block_type": None}, ["mid_block_type", "'UNetMidBlock2D'"]),
        "attention one way": ({"up_block_types": ["UpBlock2D", "UpBlock2D"]}, ["up_block_types", "on the way up"]),
        "levels that differ": ({"block_out_channels": [8, 16, 16]}, ["down_block_types", "3 levels"]),
        "widths apart": ({"block_out_channels": [8, 12]}, ["block_out_channels [8, 12]", "multiple of the first"]),
        "a time embedding of its own": ({"time_embedding_dim": 64}, ["time_embedding_dim 64", "four times", "32"]),
        "latents": ({"in_channels": 4, "out_channels": 4}, ["in_channels 4", "1 or 3"]),
        "rectangles": ({"sample_size": [8, 16]}, ["sample_size [8, 16]", "square"]),
        "no size": ({"sample_size": None}, ["sample_size"]),
        "classes by time": ({"class_embed_type": "timestep"}, ["class_embed_type"]),
        "an unknown key": ({"extra_attention": True}, ["extra_attention"]),
        "heads that do not divide": ({"attention_head_dim": 3}, ["attention_head_dim 3", "divides", "16"]),
        "a scaled middle": ({"mid_block_scale_factor": 1.4}, ["mid_block_scale_factor", "less than or equal to 1"]),
        "groups of its own": ({"attn_norm_num_groups": 2}, ["attn_norm_num_groups 2", "norm_num_groups, 4"]),
        "groups that do not divide": ({"norm_num_groups": 5}, ["norm_groups 5", "8 channels"]),
        "a size that cannot be halved": ({"sample_size": 9}, ["image_size 9", "multiple of 2"]),
        "other weights": ({"layers_per_block": 2}, ["tensors differ", "missing for"]),
        "a width without end": ({"block_out_channels": [2**40, 2**40]}, ["block_out_channels", "less than or equal"]),
        "a depth without end": ({"layers_per_block": 10**9}, ["layers_per_block", "less than or equal to 64"]),
        "a width beyond memory": ({"block_out_channels": [8192, 16384]}, ["tensors differ"]),
        "text for a number": ({"layers_per_block": "2"}, ["layers_per_block", "integer"]),
    },
    "scheduler/scheduler_config.json": {
        "another process": ({"_class_name": "ScoreSdeVeScheduler"}, ["ScoreSdeVeScheduler", "DDPMScheduler"]),
        "flow": ({"prediction_type": "flow_prediction"}, ["prediction_type", "'epsilon', 'sample' or 'v_prediction'"]),
        "another schedule": ({"beta_schedule": "laplace"}, ["beta_schedule", "'scaled_linear'", "laplace"]),
        "another range": ({"clip_sample_range": 2.0}, ["clip_sample_range 2.0"]),
        "a limited threshold": ({"thresholding": True, "sample_max_value": 1.5}, ["sample_max_value 1.5"]),
        "another quantile": ({"thresholding": True, "sample_max_value": 1e9, "dynamic_thresholding_ratio": 0.9}, ["dynamic_thresholding_ratio 0.9"]),
        "a variance that nothing emits": ({"variance_type": "learned_range"}, ["variance_type learned_range", "twice the channels"]),
        "another variance": ({"variance_type": "fixed_large_log"}, ["variance_type fixed_large_log", "fixed_large"]),
        "betas that are too few": ({"trained_betas": [0.1, 0.2]}, ["num_train_timesteps 1000", "trained_betas has 2"]),
        "betas that are none": ({"trained_betas": [2.0] * 1000}, ["betas", "numbers in (0, 1)", "to 2.0"]),
        "nothing left of noise": ({"rescale_betas_zero_snr": True}, ["zero terminal SNR", "pred_v"]),
        "steps without end": ({"num_train_timesteps": 10**9}, ["num_train_timesteps", "less than or equal"]),
    },
    "model_index.json": {
        "latents": ({"vqvae": ["diffusers", "VQModel"]}, ["vqvae (VQModel)", "a UNet2DModel and a scheduler"]),
        "another network": ({"unet": ["diffusers", "UNet2DConditionModel"]}, ["unet (UNet2DConditionModel)"]),
    },
}  # fmt: skip
CASES = [(file, name) for file, changes in REFUSED.items() for name in changes]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "pipeline"
    pipeline(SMALL).save_pretrained(folder)
    return folder


def refusal(source, tmp_path, **options):
    with pytest.raises(RequestError) as error:
        from_diffusers(str(source), str(tmp_path / "out.safetensors"), **options)
    assert not (tmp_path / "out.safetensors").exists()
    return str(error.value)


def copied(small, tmp_path):
    for path in small.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(small.parent)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path.relative_to(small.parent)).write_bytes(path.read_bytes())
    return tmp_path / small.name


@pytest.mark.parametrize("file, name", CASES, ids=[name for _, name in CASES])
def test_what_cannot_be_expressed_is_refused_by_name(small, tmp_path, file, name):
    changes, words = REFUSED[file][name]
    folder = copied(small, tmp_path)
    change_json(folder / file, **changes)
    message = refusal(folder, tmp_path)
    assert all(word in message for word in words) and "\n" not in message, message


# Files of strangers


class Code:
    def __reduce__(self):
        return print, ("this was run",)


STRANGE = {
    "no folder": (lambda folder: None, "nowhere", ["nowhere", "no such folder"]),
    "no scheduler": (lambda folder: (folder / "scheduler/scheduler_config.json").unlink(), "", ["scheduler_config.json"]),
    "no weights": (lambda folder: (folder / "unet/diffusion_pytorch_model.safetensors").unlink(), "", ["no diffusion_pytorch_model"]),
    "no configuration": (lambda folder: (folder / "unet/config.json").unlink(), "", ["config.json", "no such file"]),
    "JSON without end": (lambda folder: (folder / "unet/config.json").write_bytes(b" " * 2**23), "", ["larger than"]),
    "JSON nested without end": (lambda folder: (folder / "unet/config.json").write_text("[" * 10**6), "", ["no valid JSON"]),
    "a number without end": (lambda folder: (folder / "unet/config.json").write_text("9" * 10**6), "", ["no valid JSON"]),
    "no mapping": (lambda folder: write_json(folder / "unet/config.json", [1]), "", ["holds a list"]),
    "several files": (lambda folder: (folder / "unet/diffusion_pytorch_model.safetensors").rename(folder / "unet/diffusion_pytorch_model.1-of-2.safetensors"), "", ["several files"]),
    "cut short": (lambda folder: cut(folder / "unet/diffusion_pytorch_model.safetensors"), "", ["no whole safetensors file"]),
    "code": (lambda folder: torch.save({"conv_in.weight": Code()}, folder / "unet/evil.bin"), "unet/evil.bin", ["asks for code"]),
    "a tensor beyond the file": (lambda folder: torch.save({"conv_in.weight": torch.zeros(1).expand(10**6, 10**6)}, folder / "unet/vast.bin"), "unet/vast.bin", ["larger than the file"]),
    "no tensors": (lambda folder: torch.save({"conv_in.weight": "text"}, folder / "unet/text.bin"), "unet/text.bin", ["conv_in.weight is no tensor"]),
}  # fmt: skip


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("change, source, words", STRANGE.values(), ids=STRANGE)
def test_files_of_strangers_are_refused_in_one_line(small, tmp_path, capsys, change, source, words):
    folder = copied(small, tmp_path)
    change(folder)
    message = refusal(folder / source, tmp_path)
    assert all(word in message for word in words) and "\n" not in message, message
    assert capsys.readouterr().out == ""


def test_values_that_are_not_finite_are_refused(tmp_path):
    pipe = pipeline(SMALL)
    pipe.unet.conv_in.bias.data[0] = torch.nan
    pipe.save_pretrained(tmp_path / "theirs")
    assert "not finite" in refusal(tmp_path / "theirs", tmp_path)


def test_its_own_arguments(small, tmp_path):
    (tmp_path / "there.safetensors").write_text("kept")
    for output, words in {"out.pt": "must end with .safetensors", "there.safetensors": "exists already"}.items():
        with pytest.raises(RequestError, match=words):
            from_diffusers(str(small), str(tmp_path / output))
    assert (tmp_path / "there.safetensors").read_text() == "kept"
    assert "no num_class_embeds" in refusal(small, tmp_path, null_class=1)
    assert "1 or 3 times 4" in refusal(small, tmp_path, patch_size=2)
    assert "--patch_size 0" in refusal(small, tmp_path, patch_size=0)
