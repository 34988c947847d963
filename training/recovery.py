"""What a training does when its numbers are not finite any more: it stops, or goes back and leaves a batch out."""

from collections.abc import Callable
from pathlib import Path

from training.state import TrainerState
from utils.checkpoints import STATE_FILE
from utils.errors import RequestError

MOST_SKIPPED = 3  # batches that a training may leave out before it gives up


def rewind(trainer: TrainerState, on_nonfinite: str, read_state: Callable[[], dict], folder: Path) -> None:
    """Goes back from a state that is not finite to the last one saved in `folder`, which `read_state` gives, to do without
    the batch that was at fault.

    RequestError if `on_nonfinite` is "stop" instead of "rewind", if MOST_SKIPPED batches were left out already, or if it
    is fp16's range that does not suffice.
    """
    nonfinite_step = trainer.monitor.first_nonfinite_step()
    if nonfinite_step is None:
        raise RequestError(
            f"fp16's gradients were not finite at any scale, by step {trainer.step}: use run.precision=bf16 or fp32, or "
            f"lower train.learning_rate; {_last_state(folder)}"
        )
    what = f"the gradient of step {nonfinite_step + 1} is not finite"  # people count from 1
    if on_nonfinite == "stop":
        raise RequestError(
            f"{what}: lower train.learning_rate or train.grad_clip, or set train.on_nonfinite=rewind; {_last_state(folder)}"
        )
    if len(trainer.skipped) == MOST_SKIPPED:
        raise RequestError(f"{what}, and {MOST_SKIPPED} batches were left out already: lower train.learning_rate")
    skipped = [*trainer.skipped, nonfinite_step]
    trainer.load(read_state(), folder)
    trainer.skipped = skipped
    print(f"\nWarning: {what}: back to step {trainer.step:,}, and on without that batch.", flush=True)


def _last_state(folder: Path) -> str:
    """Whether there is a state from before, and so what the same command would do."""
    if (folder / STATE_FILE).exists():
        return "the last state is from before, and the same command goes on from it"
    return "no state was saved before it, and the same command begins anew"
