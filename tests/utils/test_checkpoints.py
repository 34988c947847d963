import json
import os
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from interop import open_checkpoint
from models import build_model
from tests.small_training import advance, find, make_trainer
from utils import version
from utils.checkpoints import STATE_FILE, WEIGHTS_FILE, digest, load_checkpoint
from utils.errors import RequestError
from utils.untrusted import load_weights
from utils.version import VERSION


@pytest.fixture
def run(tmp_path):
    trainer = make_trainer()
    advance(trainer, 3)
    trainer.save(tmp_path)
    return tmp_path


def test_others_may_read_what_the_umask_lets_them(run):
    umask = os.umask(0o022)
    os.umask(umask)
    for name in (WEIGHTS_FILE, STATE_FILE):
        assert (run / name).stat().st_mode & 0o777 == 0o666 & ~umask


def test_the_weights_file_holds_ema_weights_and_its_settings(run):
    with safe_open(run / WEIGHTS_FILE, framework="pt") as file:
        assert json.loads(file.metadata()["settings"])["data_name"] == "Mnist_Mini"
        assert file.metadata()["weights"] == "ema"
    trainer = make_trainer()
    assert find(trainer, run)
    for which, path, model in (
        ("ema", WEIGHTS_FILE, trainer.ema.model),
        ("ema", STATE_FILE, trainer.ema.model),
        ("raw", STATE_FILE, trainer.model),
    ):
        found = load_checkpoint(run / path, which)
        torch.testing.assert_close(found.state_dict, dict(model.state_dict()), rtol=0, atol=0)
        assert found.settings.model_dump_json() == trainer.settings_json and found.step == 3 and found.weights == which
    raw, average = trainer.model.state_dict()["out.2.weight"], trainer.ema.model.state_dict()["out.2.weight"]
    assert not torch.equal(raw, average)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, STATE_FILE])
def test_files_carry_the_version_and_say_if_theirs_is_newer(run, name, monkeypatch, capsys):
    with safe_open(run / WEIGHTS_FILE, framework="pt") as file:
        assert file.metadata()["version"] == VERSION
    assert torch.load(run / STATE_FILE, weights_only=True)["version"] == VERSION
    load_checkpoint(run / name)
    assert capsys.readouterr().out == ""
    for ours, said in (("0.3.12", True), ("0.10.0", False), ("1.0.0", False)):
        monkeypatch.setattr(version, "VERSION", ours)
        load_checkpoint(run / name)
        line = capsys.readouterr().out
        assert (line.count("\n") == 1 and name in line and VERSION in line and ours in line) if said else line == ""


def test_files_of_before_there_were_versions_load_without_a_word(run, capsys):
    state = torch.load(run / STATE_FILE, weights_only=True)
    del state["version"], state["digest"]
    torch.save(state | {"digest": digest(state)}, run / STATE_FILE)
    with safe_open(run / WEIGHTS_FILE, framework="pt") as file:
        metadata = {key: value for key, value in file.metadata().items() if key != "version"}
    weights = load_file(run / WEIGHTS_FILE)
    for claimed in ({}, {"version": "\x1b[2J9.9.9"}, {"version": "9" * 5000 + ".0.0"}):
        save_file(weights, run / WEIGHTS_FILE, metadata | claimed)
        assert load_checkpoint(run / WEIGHTS_FILE).step == load_checkpoint(run / STATE_FILE).step == 3
    assert capsys.readouterr().out == ""


def test_raw_weights_are_not_looked_for_where_they_are_not(run):
    with pytest.raises(RequestError, match="EMA weights only.*trainer_state.pt"):
        load_checkpoint(run / WEIGHTS_FILE, "raw")


@pytest.mark.parametrize("name", [WEIGHTS_FILE, STATE_FILE])
@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, -1])
def test_truncated_files_are_named(run, name, keep):
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(RequestError, match=name):
        load_checkpoint(run / name, "ema")


class Mark:
    """A pickle that runs code: it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["evil.pt", "evil.safetensors"])
@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_code_in_a_file_is_not_run(tmp_path, name, writer):
    mark = str(tmp_path / "mark")
    if writer == "pickle":
        (tmp_path / name).write_bytes(pickle.dumps({"settings": Mark(mark)}))
    else:
        torch.save({"settings": Mark(mark)}, tmp_path / name)
    with pytest.raises(RequestError, match=name):
        load_checkpoint(tmp_path / name, "ema")
    assert not os.path.exists(mark)


def test_files_without_or_with_bad_settings_are_refused(tmp_path):
    path, weights = tmp_path / "a.safetensors", {"a": torch.zeros(1)}
    for metadata, words in (
        (None, "carries no settings"),
        ({"settings": "{"}, "cannot be used"),
        ({"settings": "[]"}, "cannot be used"),
        ({"settings": '{"data_name": "a", "evil": 1}'}, "evil"),
    ):
        save_file(weights, path, metadata)
        with pytest.raises(RequestError, match=words):
            load_checkpoint(path, "ema")
    with pytest.raises(RequestError, match="there is no checkpoint.*nowhere"):
        load_checkpoint(tmp_path / "nowhere.safetensors", "ema")


def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded():
    model = torch.nn.Linear(2, 3)
    before = model.weight.clone()
    with pytest.raises(RequestError, match=r"f.*2 tensors differ: bias missing for \(3,\), extra \(1,\) for none"):
        load_weights(model, {"weight": torch.ones(3, 2), "extra": torch.ones(1)}, "f")
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize("image_size", [16, [16, 24]])
def test_weights_of_the_older_scripts_are_read_with_what_is_said_of_them(tmp_path, image_size):
    """Their file: a number of epochs and the state_dict of a network of this family, which must be the one it came from."""
    arguments = {"image_size": image_size, "image_channel": 3, "base_channels": 32, "channel_mult": [1, 2, 2], "num_res_blocks": 2,
                 "attention_resolutions": [8, 4], "num_heads": 4, "dropout": 0.0, "norm_groups": 32, "patch_size": 1}  # fmt: skip
    model = build_model(**arguments)
    path = tmp_path / "old.pt"
    torch.save({"epoch": 3, "unet_model": model.state_dict()}, path)
    found = open_checkpoint(path, image_size=image_size, image_channel=3, timestep_num=1000)
    assert found.weights == "raw" and found.settings.model_arguments().items() >= arguments.items()
    assert (found.settings.diffusion.timestep_num, found.settings.diffusion.beta_schedule) == (1000, "cosine")
    load_weights(build_model(**found.settings.model_arguments()), found.state_dict, path)
    with pytest.raises(RequestError, match="--image_size, --image_channel and --training_timestep_num"):
        open_checkpoint(path)
    torch.save({"epoch": 3, "unet_model": {"a": torch.zeros(1)}}, path)
    with pytest.raises(RequestError, match="not those of a network of this project"):
        open_checkpoint(path, image_size=16, image_channel=3, timestep_num=1000)
    torch.save([1, 2], path)
    with pytest.raises(RequestError, match="holds a list"):
        open_checkpoint(path)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, STATE_FILE])
def test_what_is_stated_of_a_checkpoint_is_checked(run, name):
    carried = {"image_size": 8, "image_channel": 1, "timestep_num": 1000}
    found = open_checkpoint(run / name, **carried)
    torch.testing.assert_close(found.state_dict, load_checkpoint(run / name).state_dict, rtol=0, atol=0)
    assert found[1:] == load_checkpoint(run / name)[1:]
    for option, value in carried.items():
        with pytest.raises(RequestError, match=rf"{option} {value + 1}.*was trained with {value}"):
            open_checkpoint(run / name, **carried | {option: value + 1})
    with pytest.raises(RequestError, match="EMA weights only"):
        open_checkpoint(run / WEIGHTS_FILE, "raw")


def test_a_file_without_settings_is_refused_where_none_can_be_stated(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    torch.save({"epoch": 3, "unet_model": {"a": torch.zeros(1)}}, tmp_path / "old.pt")
    for name in ("bare.safetensors", "old.pt"):
        with pytest.raises(RequestError, match=name):
            load_checkpoint(tmp_path / name)
