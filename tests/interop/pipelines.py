"""Networks of ours and pipelines of diffusers with weights drawn at random, small unless said otherwise."""

import json
from pathlib import Path

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.utils import logging

from interop import open_checkpoint
from models import build_model
from sampling import load_trained
from utils.checkpoints import write_checkpoint
from utils.classes import Classes
from utils.settings import Settings

logging.set_verbosity_error()
logging.disable_progress_bar()

CPU = torch.device("cpu")
# As google/ddpm-cifar10-32 has it.
CIFAR = {
    "act_fn": "silu", "attention_head_dim": None, "block_out_channels": [128, 256, 256, 256], "center_input_sample": False,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"], "downsample_padding": 0,
    "flip_sin_to_cos": False, "freq_shift": 1, "in_channels": 3, "layers_per_block": 2, "mid_block_scale_factor": 1,
    "norm_eps": 1e-6, "norm_num_groups": 32, "out_channels": 3, "sample_size": 32, "time_embedding_type": "positional",
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
}  # fmt: skip
# As google/ddpm-celebahq-256 has it.
CELEBA = CIFAR | {
    "block_out_channels": [128, 128, 256, 256, 512, 512], "sample_size": 256,
    "down_block_types": [*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4],
}  # fmt: skip
# As the training example of diffusers makes it.
EXAMPLE = {"sample_size": 64, "in_channels": 3, "out_channels": 3, "layers_per_block": 2,
           "block_out_channels": (128, 128, 256, 256, 512, 512), "down_block_types": CELEBA["down_block_types"],
           "up_block_types": CELEBA["up_block_types"]}  # fmt: skip
SMALL = {
    "sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1, "block_out_channels": [8, 16], "norm_num_groups": 4,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"], "attention_head_dim": 4,
}  # fmt: skip


def narrow(config: dict, **changes) -> dict:
    """The same network with an eighth of the channels, and a group of the normalisation for every 4."""
    widths = [width // 8 for width in config["block_out_channels"]]
    return {**config, "block_out_channels": widths, "norm_num_groups": 4, **changes}


def randomise(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Weights of about the size at which every layer keeps that of its input; norms about 1, biases about 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.named_parameters():
        drawn = torch.randn(tensor.shape, generator=generator)
        scaled = drawn / tensor[0].numel() ** 0.5 if tensor.ndim > 1 else 0.1 * drawn + float(name.endswith("weight"))
        tensor.data.copy_(scaled)
    return network.eval()


def pipeline(unet: dict, scheduler: dict | None = None) -> DDPMPipeline:
    pipe = DDPMPipeline(randomise(UNet2DModel(**unet)), DDPMScheduler(**(scheduler or {})))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def load_pipeline(folder: Path, kind: type = DDPMPipeline):
    pipe = kind.from_pretrained(str(folder), local_files_only=True, low_cpu_mem_usage=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def save_in_first_layout(pipe: DDPMPipeline, folder: Path) -> None:
    """As the first versions did, and google/ddpm-cifar10-32 lies: all in one folder, a pickle, and the attention's old names."""
    folder.mkdir()
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = {}
    for name, tensor in pipe.unet.state_dict().items():
        for new_part, old_part in old.items():
            name = name.replace(f".{new_part}.", f".{old_part}.")
        weights[name] = tensor
    torch.save(weights, folder / "diffusion_pytorch_model.bin")
    unet = {key: value for key, value in pipe.unet.config.items() if key in CIFAR}
    write_json(folder / "config.json", {"_class_name": "UNet2DModel", "_diffusers_version": "0.0.4", **unet})
    scheduler = {"_class_name": "DDPMScheduler", "beta_end": 0.02, "beta_schedule": "linear", "beta_start": 1e-4, "clip_sample": True,
                 "num_train_timesteps": 1000, "trained_betas": None, "variance_type": "fixed_large"}  # fmt: skip
    write_json(folder / "scheduler_config.json", scheduler)
    parts = {"scheduler": ["diffusers", "DDPMScheduler"], "unet": ["diffusers", "UNet2DModel"]}
    write_json(folder / "model_index.json", {"_class_name": "DDPMPipeline", **parts})


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))


def change_json(path: Path, **changes) -> None:
    write_json(path, json.loads(path.read_text()) | changes)


def checkpoint(path: Path, *, data: dict | None = None, model: dict | None = None, diffusion: dict | None = None, names=()) -> Path:
    """A model.safetensors of a small network, with these settings beside the smallest ones."""
    settings = Settings(
        data_name="Test",
        data={"data_path": "nowhere", "image_size": 16, "image_channel": 1, **(data or {})},
        model={"base_channels": 16, "channel_mult": [1, 2], "num_res_blocks": 1, "attention_resolutions": [8], "norm_groups": 4,
               **(model or {})},
        diffusion={"objective": "pred_v", **(diffusion or {})},
        sample={"sample_info": "DDIM_2_0p0"},
    )  # fmt: skip
    network = randomise(build_model(**settings.model_arguments()))
    classes = Classes(tuple(names), (1,) * len(names))
    write_checkpoint(path, network.state_dict(), settings.model_dump_json(), 7, classes)
    return path


def trained(path: Path):
    """The model of a checkpoint, ready to draw in float32."""
    return load_trained(open_checkpoint(path), path, CPU, "fp32")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


