"""Losses and gradients that are not finite: stopped, rewound, or scaled away (fp16)."""

import json

import pytest
import torch

from tests.processes import TINY, done, refused, train
from tests.small_training import advance, find, make_trainer, read_state
from training.recovery import MOST_SKIPPED, rewind
from utils.checkpoints import STATE_FILE, WEIGHTS_FILE, load_checkpoint, load_state
from utils.errors import RequestError


def spoil(trainer, step):
    trainer.monitor.note_gradient(step, torch.tensor(float("nan")), scaled=False)


def go_back(trainer, folder, on_nonfinite):
    rewind(trainer, on_nonfinite, lambda: read_state(trainer, folder), folder)


def test_what_is_not_finite_stops_the_run_or_rewinds_it_a_few_times(run, capsys):
    trainer = make_trainer()
    find(trainer, run)
    assert trainer.is_finite()
    spoil(trainer, 5)
    spoil(trainer, 7)
    assert not trainer.is_finite()
    with pytest.raises(RequestError, match="the gradient of step 6 is not finite"):  # people count from 1
        go_back(trainer, run, "stop")

    trainer = make_trainer()
    find(trainer, run)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    for time in range(MOST_SKIPPED):
        advance(trainer, 4)
        spoil(trainer, 5 + time)
        assert not trainer.is_finite()
        go_back(trainer, run, "rewind")
        assert trainer.step == 3 and trainer.skipped == [5 + i for i in range(time + 1)] and trainer.is_finite()
        torch.testing.assert_close(dict(trainer.model.state_dict()), before, rtol=0, atol=0)
    assert "Warning: the gradient of step 8 is not finite: back to step 3" in capsys.readouterr().out
    spoil(trainer, 6)
    with pytest.raises(RequestError, match="3 batches were left out already"):
        go_back(trainer, run, "rewind")


def test_a_state_is_named_only_where_there_is_one(run, tmp_path):
    trainer = make_trainer()
    spoil(trainer, 0)
    with pytest.raises(RequestError, match="the last state is from before"):
        go_back(trainer, run, "stop")
    with pytest.raises(RequestError, match="no state was saved before it, and the same command begins anew"):
        go_back(trainer, tmp_path / "empty", "stop")


def test_fp16_lowers_its_scale_and_gives_up_when_that_does_not_help(run):
    trainer = make_trainer("run.precision=fp16")
    weight = trainer.model.get_parameter("out.2.weight")
    before = weight.clone()
    trainer.scaler.scale(weight.sum() * float("inf")).backward()
    trainer.scaler.step(trainer.optimizer)
    trainer.scaler.update()
    assert torch.equal(weight, before) and trainer.scaler.get_scale() == 2.0**15
    assert trainer.is_finite()
    state = trainer.scaler.state_dict()
    trainer.save(run)
    other = make_trainer("run.precision=fp16", seed=1)
    find(other, run)
    assert other.scaler.state_dict() == state
    trainer.scaler.load_state_dict({**state, "scale": 0.5})
    assert not trainer.is_finite()
    with pytest.raises(RequestError, match="fp16's gradients were not finite at any scale"):
        go_back(trainer, run, "rewind")


def test_a_diverging_training_stops_in_one_line_and_keeps_its_last_state(tmp_path):
    settings = [*TINY, "train.log_every=1", "train.save_every=2", "train.warmup_steps=0"]
    done(train(tmp_path / "run", "--max_steps", 2, settings=settings))
    wild = [*settings, "train.learning_rate=1e30", "train.grad_clip=null"]
    refused(train(tmp_path / "run", "--max_steps", 40, settings=wild), "is not finite", "train.learning_rate", "rewind")
    state = load_state(tmp_path / "run" / STATE_FILE)
    assert all(tensor.isfinite().all() for tensor in state["model"].values())
    refused(
        train(tmp_path / "run", "--max_steps", 40, settings=[*wild, "train.on_nonfinite=rewind"]), "left out already"
    )
    weights = load_checkpoint(tmp_path / "run" / WEIGHTS_FILE)
    assert weights.step < 40 and all(tensor.isfinite().all() for tensor in weights.state_dict.values())


def test_fp16_trains_and_goes_on(tmp_path):
    settings = [*TINY, "run.precision=fp16", "train.log_every=1"]
    done(train(tmp_path / "straight", "--max_steps", 4, settings=settings))
    done(train(tmp_path / "halved", "--max_steps", 2, settings=settings))
    done(train(tmp_path / "halved", "--max_steps", 4, settings=settings))
    a, b = (load_state(tmp_path / name / STATE_FILE) for name in ("straight", "halved"))
    torch.testing.assert_close(a["model"], b["model"], rtol=0, atol=0)
    assert a["scaler"] == b["scaler"] and a["scaler"]["_growth_tracker"] + 1 >= 1
    assert all("loss" in json.loads(line) for line in open(tmp_path / "halved" / "log.jsonl"))
