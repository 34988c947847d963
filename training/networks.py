"""The networks of a training as they are called: compiled or captured, shared by the ranks, in their precision."""

from functools import partial

import torch

from sampling.network import Network
from training.optimizers import MuonWithAdam, muon_updates
from training.state import TrainerState
from training.step import equal_parts
from training.trial import trial_step
from utils.compiling import capture_function, capture_in_place, compile_in_place
from utils.distributed import Ranks
from utils.precision import at_precision


def networks_of(
    trainer: TrainerState,
    ranks: Ranks,
    precision: str,
    compile: bool | str,
    *,
    total_steps: int,
    batch_size: int,
    accumulate: int,
    size: tuple[int, int],
    time_dtype: torch.dtype = torch.int64,
) -> tuple[Network, Network]:
    """The raw network, which learns, and its average, which draws, each (x_t, t, y) -> output. Muon's updates are captured
    where the network is.

    compile: "auto", True or False, see `compile_in_place`, by the length of the whole run: going on with it must not compile
    otherwise. batch_size: of all ranks, in `accumulate` parts of each; size: (H, W) of the pictures; time_dtype: of
    what it is told beside them, see `diffusion.network_input`.
    """
    own, _ = equal_parts(ranks.rows(batch_size), accumulate)[0]
    of_batch = own.stop - own.start, batch_size, size, time_dtype
    trial = partial(trial_step, trainer.model, precision, ranks.device, *of_batch)
    compile_in_place(trainer.model, compile, ranks.device, total_steps, try_out=trial)
    capture_in_place(trainer.ema.model, compile, ranks.device)
    if isinstance(trainer.optimizer, MuonWithAdam):
        trainer.optimizer.updates = capture_function(muon_updates, compile, trainer.model, ranks.device)
    models = ranks.wrap_model(trainer.model), trainer.ema.model
    return tuple(at_precision(model, precision, ranks.device) for model in models)
