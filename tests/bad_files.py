"""The files that the tables of bad_requests.py name: checkpoints, pictures and configurations that are none."""

import json
import os
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.small_training import advance, make_trainer, settings_of


def yaml_entry(text: str) -> str:
    return f"Train_Data:\n  Mine:\n    {text}\n"


def write_checkpoints(place: Path) -> None:
    """A small model that works, and files that nearly do."""
    trainer = make_trainer()
    advance(trainer, 1)
    trainer.save(place / "run")
    good, settings = load_file(place / "run/model.safetensors"), settings_of(trainer).model_dump()
    first = next(iter(good))

    def save(name, weights=good, text=None, **changes):
        save_file(weights, place / name, {"settings": text or json.dumps(merged(settings, changes)), "step": "1"})

    save("huge.safetensors", model={"base_channels": 8192, "channel_mult": [64, 64]})
    save("wide.safetensors", data={"image_size": 10**6})
    save("patient.safetensors", diffusion={"timestep_num": 10**12})
    save("endless.safetensors", model={"num_res_blocks": 10**9})
    save("extra.safetensors", model={"evil": 1})
    save("typed.safetensors", model={"base_channels": "8"})
    save("steered.safetensors", data_name="\x1b[2Jcleared")
    save("odd.safetensors", model={"base_channels": 16})
    save("nan_setting.safetensors", text=json.dumps(merged(settings, {"train": {"learning_rate": float("nan")}})))
    save("deep.safetensors", text="[" * 100_000)
    save("cut.safetensors", text="{")
    save("integers.safetensors", {**good, first: good[first].to(torch.int32)})
    save("infinite.safetensors", {**good, first: torch.full_like(good[first], torch.inf)})
    save("too_large.safetensors", {**good, first: torch.full_like(good[first], 1e300, dtype=torch.float64)})
    save("lacking.safetensors", {name: tensor for name, tensor in good.items() if name != first})
    save_file(good, place / "bare.safetensors")
    save_file(good, place / "step.safetensors", {"settings": settings_of(trainer).model_dump_json(), "step": "many"})
    for name, header in {"long_header": 2**62, "claims": 10**9}.items():
        (place / f"{name}.safetensors").write_bytes(header.to_bytes(8, "little") + b"{}")
    (place / "truncated.safetensors").write_bytes((place / "run/model.safetensors").read_bytes()[:-100])
    (place / "empty.safetensors").write_bytes(b"")
    Image.new("L", (8, 8)).save(place / "picture.png")
    Image.new("L", (28, 28)).save(place / "black.png")
    Image.new("L", (28, 28), 255).save(place / "white.png")
    state = torch.load(place / "run/trainer_state.pt", weights_only=True)
    vast = {name: torch.zeros(1).expand(10**6, 10**6) for name in ("a", "b")}
    for name, content in {
        "list": [1, 2],
        "half": {**state, "ema": None},
        "stepless": {key: value for key, value in state.items() if key != "step"},
        "vast": {**state, "ema": vast},
        "other": {"unet_model": {"a": torch.zeros(1)}},
    }.items():
        torch.save(content, place / f"{name}.pt")
    (place / "truncated.pt").write_bytes((place / "run/trainer_state.pt").read_bytes()[:-1000])
    (place / "text.pt").write_text("hello\nworld\n")


def merged(settings: dict, changes: dict) -> dict:
    return settings | {
        key: {**settings[key], **value} if isinstance(value, dict) else value for key, value in changes.items()
    }


def write_pictures(place: Path) -> None:
    """Folders of pictures without a picture."""
    for name in ("none", "texts", "broken"):
        (place / name).mkdir()
    (place / "texts/notes.txt").write_text("not a picture")
    (place / "broken/a.png").write_text("a text that is called a picture")
    (place / "broken/b.png").write_bytes(b"")


def write_configs(place: Path) -> None:
    """Configurations that are none."""
    configs = {
        "list": "- 1\n",
        "open": "a: [",
        "twice": yaml_entry("run: {seed: 1,\n          device: cpu,\n          seed: 2}"),
        "deep": "[" * 1000,
        "number": "Train_Data: 3",
        "names": "Train_Data: {1: {}, 2: {}}",
        "on": "Train_Data:\n  on: {}\n",
        "merge": "Train_Setting: &a {train: {batch_size: 4}}\nTrain_Data:\n  Mine: {<<: *a}\n",
        "octal": yaml_entry("data: {image_size: 010}"),
        "clock": yaml_entry("train: {train_epoch: 1:30}"),
        "misplaced": yaml_entry("data: {batch_size: 4}"),
        "shallow": "Train_Data:\n  Mine:\n  data:\n    data_path: /nowhere\n",
        "outside": "Train_Data:\nMine:\n  data: {data_path: /nowhere}\n",
        "bare": "train: {batch_size: 4}\n",
        "tag": "Train_Data: !!map x",
        "date": "Train_Data: 2020-13-45",
        "python": "Train_Data: !!python/object/apply:os.system ['touch mark']",
        "empty": "",
        "laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi")),
        "merges": "a: &a {k: 1}\n" + "".join(f"{b}: &{b} {{<<: [{','.join([f'*{a}'] * 9)}]}}\n" for a, b in zip("abcdefgh", "bcdefghi")),
        "good": yaml_entry(f"data: {{data_path: {place}/broken}}"),
        "nowhere": yaml_entry("data: {data_path: /nowhere}"),
    }  # fmt: skip
    for name, text in configs.items():
        (place / f"{name}.yaml").write_text(text)
    (place / "latin.yaml").write_bytes("# Übergröße\n".encode("latin-1"))
    (place / "gbk.yaml").write_bytes("Train_Data:\n  花: {}\n".encode("gbk"))
    (place / "large.yaml").write_bytes(b"# \n" * 200_000)
    os.mkfifo(place / "pipe.yaml")
    (place / "loop.yaml").symlink_to(place / "loop.yaml")
