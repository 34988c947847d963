"""Pipelines that cannot be read as ours, and files of strangers: refused in one line that names what it is."""

import pytest
import torch

from interop.from_diffusers import run as from_diffusers
from tests.interop.pipelines import SMALL, change_json, cut_short, pipeline, write_json
from utils.errors import RequestError

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
    "cut short": (lambda folder: cut_short(folder / "unet/diffusion_pytorch_model.safetensors"), "", ["no whole safetensors file"]),
    "code": (lambda folder: torch.save({"conv_in.weight": Code()}, folder / "unet/evil.bin"), "unet/evil.bin", ["asks for code"]),
    "a tensor beyond the file": (lambda folder: torch.save({"conv_in.weight": torch.zeros(1).expand(10**6, 10**6)}, folder / "unet/vast.bin"), "unet/vast.bin", ["larger than the file"]),
    "no tensors": (lambda folder: torch.save({"conv_in.weight": "text"}, folder / "unet/text.bin"), "unet/text.bin", ["conv_in.weight is no tensor"]),
}  # fmt: skip


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
