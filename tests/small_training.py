"""A training small enough for a test, without its loop: some steps of some loss."""

from functools import partial

import torch

from models import build_model
from training.ema import EMA
from training.monitor import TrainingMonitor
from training.run_folder import find_state
from training.state import TrainerState
from utils.checkpoints import load_state
from utils.config import load_settings
from utils.distributed import Ranks
from utils.same_run import check_same_run
from utils.untrusted import settings_from_json

SMALL = ["data.image_size=8", "model.base_channels=8", "model.channel_mult=[1, 2]", "model.num_res_blocks=1", "model.norm_groups=4",
         "model.attention_resolutions=[4]", "model.patch_size=1", "model.num_classes=0",
         "sample.sample_info=DDIM_2_0p0"]  # fmt: skip
ALONE = Ranks("cpu")


def make_trainer(*overrides, seed=0):
    settings = load_settings("config.yaml", "Mnist_Mini", [*SMALL, *overrides])
    torch.manual_seed(seed)
    model = build_model(image_size=8, image_channel=1, **settings.model.model_dump())
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    scaler = torch.amp.GradScaler("cpu", enabled=settings.run.precision == "fp16")
    monitor = TrainingMonitor(1000, torch.device("cpu"))
    return TrainerState(settings.model_dump_json(), model, EMA(model, 0.9), optimizer, scaler, monitor)


def advance(trainer, steps):
    for _ in range(steps):
        x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(trainer.step))
        losses = (trainer.model(x, torch.zeros(2)) - x).pow(2).mean(dim=(1, 2, 3))
        trainer.optimizer.zero_grad()
        losses.mean().backward()
        trainer.optimizer.step()
        trainer.ema.update(trainer.model, trainer.step)
        trainer.monitor.note_losses(torch.tensor([10, 900]), losses.detach())
        trainer.step += 1


def settings_of(trainer):
    return settings_from_json(trainer.settings_json, "the trainer")


def read_state(trainer, folder, resume="auto"):
    """The state in `folder` that `trainer` would go on from."""
    return find_state(folder, resume, partial(check_same_run, settings_of(trainer), folder))


def find(trainer, folder, resume="auto"):
    """Goes on from the run in `folder`; says whether there was one."""
    state = read_state(trainer, folder, resume)
    if state is not None:
        trainer.load(state, folder)
    return state is not None


def weights_of(folder):
    """What the training in `folder` has learned so far."""
    state = load_state(folder / "trainer_state.pt")
    return {name: state[name] for name in ("model", "ema", "optimizer")}
