"""One step of training: a batch, its noise, the loss, the update of the weights and of their average."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from datasets import Batches, to_float
from diffusion import GaussianDiffusion, draw_timesteps, draw_timesteps_by_sigma
from sampling.network import Network, training_network
from training.labels import drop_labels
from training.state import TrainerState
from training.student import Teaching
from utils.distributed import Ranks
from utils.seeds import derive_seed, generator


class StepOptions(NamedTuple):
    """What a step takes from the settings.

    seed: everything random follows from it. batch_size: B, of all ranks together. accumulate: the parts in which a rank
    works its rows of the batch. grad_clip: the largest norm of the gradient (None: no limit). timestep_logit_normal
    and timestep_uniform_share: see `draw_timesteps`; timestep_log_normal: see `draw_timesteps_by_sigma`, which replaces it.
    num_classes, label_dropout: of the network, and see `drop_labels`.
    """

    seed: int
    batch_size: int
    accumulate: int = 1
    grad_clip: float | None = None
    timestep_logit_normal: tuple[float, float] | None = None
    timestep_log_normal: tuple[float, float] | None = None
    timestep_uniform_share: float = 0.0
    num_classes: int = 0
    label_dropout: float = 0.1


def train_step(
    trainer: TrainerState,
    network: Network,
    diffusion: GaussianDiffusion,
    batches: Batches,
    options: StepOptions,
    ranks: Ranks,
    teaching: Teaching | None = None,
) -> None:
    """One update of the weights and their average. Everything random about step k follows from (seed, k) alone.

    Timesteps, noise and dropped labels are drawn for the whole batch; this rank works its rows of it. The loss is DDPM
    Eq. 14's, or what `diffusion.training_losses` makes of it; with `teaching` its target is a student's.
    """
    step, seed, batch_size = trainer.step, options.seed, options.batch_size
    stream = generator(ranks.device, seed, "noise", step)
    rows, (images, labels) = ranks.rows(batch_size), batches[step]
    x_0 = to_float(images)  # (R, C, H, W), R of the batch's B pictures
    t = _draw_timesteps(diffusion, options, stream)  # (B,)
    times = None if teaching is None else teaching.times(t, diffusion.timestep_num, step)
    noise = torch.randn((batch_size, *x_0.shape[1:]), generator=stream, device=ranks.device)  # (B, C, H, W)
    shows_estimate = derive_seed(seed, "estimate", step) % 2 == 0
    if options.num_classes:
        dropped = generator(ranks.device, seed, "labels", step)
        share, classes = options.label_dropout, options.num_classes
        labels = drop_labels(labels, share, classes, dropped, batch_size=batch_size, rows=rows)  # (R,)

    trainer.optimizer.zero_grad()
    for part, seen in equal_parts(rows, min(options.accumulate, len(x_0))):
        dropout_seed = derive_seed(seed, "dropout", step)
        torch.manual_seed(dropout_seed)
        trainer.model.part_of_batch(part.start, batch_size)
        with ranks.sync_gradients_when(part.stop == rows.stop):
            own = slice(part.start - rows.start, part.stop - rows.start)  # among this rank's rows
            shown = labels[own] if options.num_classes else None
            wrapped = training_network(network, diffusion, labels=shown, with_estimate=shows_estimate)
            toward = None
            if teaching is not None:
                part_times = [time[part] for time in times]
                toward = teaching.target(diffusion, wrapped, x_0[own], noise[part], part_times, shown)
                torch.manual_seed(dropout_seed)  # the student's two looks drop the same (Song and Dhariwal 2023, App. C)
            losses = diffusion.training_losses(wrapped, x_0[own], t[part], noise[part], toward)[seen:]  # a row each
            # The mean over the whole batch: DistributedDataParallel divides the sum of the ranks' by their number.
            trainer.scaler.scale(losses.sum() * (ranks.size / batch_size)).backward()
        trainer.monitor.note_losses(t[part][seen:], losses.detach())
    trainer.scaler.unscale_(trainer.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), options.grad_clip or math.inf)
    trainer.monitor.note_gradient(step, norm, scaled=trainer.scaler.is_enabled())
    trainer.scaler.step(trainer.optimizer)
    trainer.scaler.update()
    trainer.ema.update(trainer.model, step)


def _draw_timesteps(diffusion: GaussianDiffusion, options: StepOptions, stream: torch.Generator) -> Tensor:
    """The batch's timesteps, (B,), by whichever distribution the options name."""
    count, share = options.batch_size, options.timestep_uniform_share
    if options.timestep_log_normal is None:
        return draw_timesteps(count, diffusion.timestep_num, options.timestep_logit_normal, stream, share)
    return draw_timesteps_by_sigma(diffusion.half_log_snr(stream.device), count, options.timestep_log_normal, stream, share)


def equal_parts(rows: slice, count: int) -> list[tuple[slice, int]]:
    """`rows` in at most `count` parts of one length, as a compiled network would be compiled again for another; and how many
    of a part's first rows the parts before it have had already (not 0 at most in the last)."""
    size = -(-(rows.stop - rows.start) // count)
    starts = [(begin, min(begin, rows.stop - size)) for begin in range(rows.start, rows.stop, size)]
    return [(slice(start, start + size), begin - start) for begin, start in starts]
