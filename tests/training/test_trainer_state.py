import os

import numpy as np
import pytest
import torch

from tests.small_training import advance, find, make_trainer
from training.run_folder import LOCK_FILE, last_sheet, lock_run_folder
from utils.checkpoints import MILESTONES, PREVIOUS_FILE, STATE_FILE, digest, load_checkpoint, load_state
from utils.errors import RequestError


def test_k_steps_save_load_k_steps_is_2k_steps(tmp_path):
    straight = make_trainer()
    advance(straight, 6)
    first = make_trainer()
    advance(first, 3)
    first.save(tmp_path)
    second = make_trainer(seed=1)  # another beginning, all of which must be replaced
    assert find(second, tmp_path) and second.step == 3
    advance(second, 3)
    for part in ("model", "optimizer", "monitor"):
        torch.testing.assert_close(
            getattr(second, part).state_dict(), getattr(straight, part).state_dict(), rtol=0, atol=0
        )
    torch.testing.assert_close(second.ema.model.state_dict(), straight.ema.model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "override, words",
    [
        ("model.base_channels=16", "model.base_channels: 8 -> 16"),
        ("diffusion.loss_type=l1", "diffusion.loss_type: l2 -> l1"),
        ("data.horizontal_flip=true", "data.horizontal_flip: False -> True"),
        ("run.seed=5", "run.seed: 0 -> 5"),
    ],
)
def test_a_run_with_other_settings_is_refused_with_the_difference(run, override, words):
    trainer = make_trainer(override)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    with pytest.raises(RequestError, match=words):
        find(trainer, run)
    torch.testing.assert_close(dict(trainer.model.state_dict()), before, rtol=0, atol=0)


def test_longer_or_otherwise_logged_is_no_difference(run, capsys):
    trainer = make_trainer(
        "train.train_epoch=99", "train.log_every=1", "sample.sample_num=4", "data.cache_dir=/elsewhere"
    )
    assert find(trainer, run)
    assert "train.train_epoch: " in capsys.readouterr().out


def test_moved_pictures_are_no_difference_and_named(run, capsys):
    assert find(make_trainer("data.data_path=/moved/here"), run)
    assert "Changed since this run was last started: data.data_path: None -> /moved/here" in capsys.readouterr().out


OLD_MONITOR = {"loss_sums": "sums", "gradient_sums": "gradients", "nonfinite_step": "mishap", "best": "best"}


def test_a_state_of_before_its_parts_were_renamed_is_gone_on_from(tmp_path):
    trainer = make_trainer()
    advance(trainer, 3)
    trainer.monitor.best = [0.5, 0.1, 0.2, 0.3, 0.4]
    state = trainer.snapshot()
    monitor = state.pop("monitor")
    state["doctor"] = {OLD_MONITOR[name]: value for name, value in monitor.items()}
    torch.save(state | {"digest": digest(state)}, tmp_path / STATE_FILE)
    assert load_checkpoint(tmp_path / STATE_FILE, "raw").step == 3
    other = make_trainer(seed=1)
    assert find(other, tmp_path)
    for each in (trainer, other):
        advance(each, 2)
    for part in ("model", "ema", "optimizer", "monitor"):
        torch.testing.assert_close(other.snapshot()[part], trainer.snapshot()[part], rtol=0, atol=0)


def test_never_and_missing_states_are_refused_and_nothing_is_found_in_an_empty_folder(run, tmp_path):
    assert not find(make_trainer(), tmp_path / "empty")
    with pytest.raises(RequestError, match="holds trainer_state.pt"):
        find(make_trainer(), run, "never")
    (run / STATE_FILE).unlink()
    (run / PREVIOUS_FILE).unlink()
    with pytest.raises(RequestError, match="holds model.safetensors"):
        find(make_trainer(), run)


def test_the_checksum_tells_apart_what_differs_in_one_bit():
    value = {
        "a": torch.arange(4.0),
        "b": [1, 2.5, None, "x", (True,)],
        "c": {"d": torch.zeros(0), "e": torch.tensor(True)},
    }
    same = {
        "a": torch.arange(4.0),
        "b": [1, 2.5, None, "x", (True,)],
        "c": {"d": torch.zeros(0), "e": torch.tensor(True)},
    }
    assert digest(value) == digest(same)
    others = [
        {**value, "a": torch.arange(4.0).nextafter(torch.tensor(9.0))},
        {**value, "a": torch.arange(4.0).view(2, 2)},
        {**value, "a": torch.arange(4.0).double()},
        {**value, "b": [1, 2.5, None, "y", (True,)]},
        {**value, "c": {"d": torch.zeros(0), "f": torch.tensor(True)}},
        {"a": value["a"], "b": value["b"]},
    ]
    assert len({digest(other) for other in [value, *others]}) == len(others) + 1


def altered(path):
    """One bit of the largest tensor of a state, and nothing else."""
    content = torch.load(path, weights_only=True)
    name = max(content["model"], key=lambda name: content["model"][name].numel())
    bytes_of = content["model"][name].view(torch.uint8).flatten()
    raw, there = path.read_bytes(), bytes_of[:64].numpy().tobytes()
    assert raw.count(there) == 1
    at = raw.index(there)
    path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])


@pytest.mark.parametrize(
    "damage", [altered, lambda path: path.write_bytes(path.read_bytes()[:-1000]), lambda path: path.write_bytes(b"")]
)
def test_a_damaged_state_is_named_and_the_one_before_it_used(run, capsys, damage):
    damage(run / STATE_FILE)
    with pytest.raises(RequestError, match=STATE_FILE):
        load_state(run / STATE_FILE)
    with pytest.raises(RequestError, match=STATE_FILE):
        load_checkpoint(run / STATE_FILE, "ema")
    trainer = make_trainer(seed=1)
    assert find(trainer, run) and trainer.step == 1
    said = capsys.readouterr().out
    assert f"Damaged: {run / STATE_FILE}" in said and f"Instead: {run / PREVIOUS_FILE}, of step 1" in said
    # The damaged file must not become the one before the next.
    trainer.save(run)
    assert load_state(run / STATE_FILE)["step"] == 1 and load_state(run / PREVIOUS_FILE)["step"] == 1
    assert (run / f"{STATE_FILE}.damaged").exists()


def test_when_every_state_is_damaged_nothing_is_touched(run):
    for name in (STATE_FILE, PREVIOUS_FILE):
        (run / name).write_bytes(b"nothing")
    before = sorted(os.listdir(run))
    with pytest.raises(RequestError, match="nor can any older state"):
        find(make_trainer(), run)
    assert sorted(os.listdir(run)) == before


def test_milestones_stay_and_are_gone_back_to(tmp_path):
    trainer = make_trainer()
    for _ in range(4):
        advance(trainer, 1)
        trainer.save(tmp_path, milestone=trainer.step % 2 == 0)
    assert sorted(os.listdir(tmp_path / MILESTONES)) == ["step_000002.pt", "step_000004.pt"]
    assert load_checkpoint(tmp_path / MILESTONES / "step_000002.pt", "raw").step == 2
    (tmp_path / STATE_FILE).write_bytes(b"")
    (tmp_path / PREVIOUS_FILE).write_bytes(b"")
    again = make_trainer()
    assert find(again, tmp_path) and again.step == 4


def test_states_are_loaded_whole_or_not_at_all(run):
    state = load_state(run / STATE_FILE)
    del state["ema"]["out.2.weight"]
    trainer = make_trainer(seed=1)
    before = {name: tensor.clone() for name, tensor in trainer.ema.model.state_dict().items()}
    with pytest.raises(RequestError, match="out.2.weight missing"):
        trainer.load(state, "s")
    torch.testing.assert_close(dict(trainer.ema.model.state_dict()), before, rtol=0, atol=0)


def test_one_process_a_folder_and_nothing_half_written_stays(tmp_path):
    for name in (".model.safetensors.99.tmp", "samples/.step_000001.png.99.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "mine.tmp").write_bytes(b"the user's")
    with lock_run_folder(tmp_path):
        assert sorted(os.listdir(tmp_path)) == [LOCK_FILE, "mine.tmp", "samples"] and not os.listdir(
            tmp_path / "samples"
        )
        with pytest.raises(RequestError, match="another process is training in"), lock_run_folder(tmp_path):
            pass
    with lock_run_folder(tmp_path):
        pass
    with pytest.raises(RequestError, match="is a file"), lock_run_folder(tmp_path / "mine.tmp"):
        pass


def test_a_folder_in_which_nothing_was_written_is_not_left_behind(tmp_path):
    with pytest.raises(RuntimeError), lock_run_folder(tmp_path / "results" / "run"):
        raise RuntimeError
    assert os.listdir(tmp_path) == []
    with lock_run_folder(tmp_path / "results" / "run"):
        (tmp_path / "results" / "run" / "file").write_text("")
    assert os.listdir(tmp_path / "results" / "run") == ["file"]


def test_the_sheet_that_is_named_is_not_of_a_later_step(tmp_path):
    assert last_sheet(tmp_path, 5) is None
    (tmp_path / "samples").mkdir()
    for name in ("step_000002.png", "step_000010.png", "step_1000000.png", "step_mine.png"):
        (tmp_path / "samples" / name).write_bytes(b"")
    assert last_sheet(tmp_path, 1) is None
    assert [last_sheet(tmp_path, step).name for step in (2, 9, 10, 2_000_000)] == [
        "step_000002.png", "step_000002.png", "step_000010.png", "step_1000000.png"
    ]  # fmt: skip


def test_other_pictures_are_noticed():
    trainer, images = make_trainer(), np.arange(600 * 64, dtype=np.uint32).astype(np.uint8).reshape(600, 1, 8, 8)
    trainer.check_data(images)
    trainer.check_data(images.copy())
    for other in (images[:-1], images[::-1].copy(), 255 - images):
        with pytest.raises(RequestError, match="not those that this run began with"):
            trainer.check_data(other)


def test_other_labels_are_noticed_and_a_state_of_pictures_alone_goes_on():
    trainer, images = make_trainer(), np.arange(600 * 64, dtype=np.uint32).astype(np.uint8).reshape(600, 1, 8, 8)
    labels = np.arange(600) % 10
    trainer.check_data(images)  # as states were before labels were looked at
    trainer.check_data(images, labels)
    trainer.check_data(images.copy(), labels.copy())
    one_changed = labels.copy()
    one_changed[7] = 3
    for other in (one_changed, labels[::-1].copy()):
        with pytest.raises(RequestError, match="pictures or their classes are not those that this run began with"):
            trainer.check_data(images, other)
    with pytest.raises(RequestError, match="pictures or their classes"):
        trainer.check_data(255 - images, labels)


