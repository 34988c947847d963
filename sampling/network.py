"""What a network needs to be drawn from is wrapped round it here, and nowhere else: samplers know (x_t, t) alone."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion import GaussianDiffusion, Guidance, network_input, self_condition

# (x_t, t) -> output, or, with classes, (x_t, t, y) -> output: (B, C, H, W), (B,) int64, (B,) int64 -> (B, C_out, H, W).
Network = Callable[..., Tensor]


class Known(NamedTuple):
    """What is known of the pictures: their x_0, (B, C, H, W) in [-1, 1], where `mask`, bool (B, 1, H, W), is True.

    noise_like: x -> standard normal noise of its shape, for each call of the network.
    """

    x_0: Tensor
    mask: Tensor
    noise_like: Callable[[Tensor], Tensor]


def sampling_network(
    network: Network,
    diffusion: GaussianDiffusion,
    *,
    labels: Tensor | None = None,
    num_classes: int = 0,
    guidance: Guidance = Guidance(),  # noqa: B008 (frozen)
    known: Known | None = None,
    pad_to: int = 0,
) -> Network:
    """`network` as `sample` and `encode` call it, (x_t, t) -> output, for one call of them.

    labels: (B,) int64 on x_t's device, 0 to `num_classes`, which is the null label; None: the network takes none, or is to
    take the null label for all, which leaves nothing to guide. known: pixels that are known, see `_with_known`. With
    self-conditioning the network is shown the estimate of the call before, guided and with the known pixels. `pad_to`: the
    fewest pictures that it is called for; where x_t has fewer, the last one stands in for the others (not with `known`). A
    compiled network would be compiled again for a last batch that is shorter.

    ValueError for guidance where there are no classes.
    """
    if guidance.scale != 1 and num_classes == 0:
        raise ValueError(f"guidance{guidance} needs a network with classes")
    network = network_input.from_x_t(network, diffusion)
    if labels is not None:
        network = _guided(network, diffusion, _padded(labels, pad_to), num_classes, guidance)
    if known is not None:
        assert not pad_to, "known pixels are not padded"
        network = _with_known(network, diffusion, known)
    network = self_condition.for_sampling(network, diffusion)
    if not pad_to:
        return network
    return lambda x_t, t: network(_padded(x_t, pad_to), _padded(t, pad_to))[: len(x_t)]


def training_network(
    network: Network, diffusion: GaussianDiffusion, *, labels: Tensor | None = None, with_estimate: bool = True
) -> Network:
    """`network` as `training_losses` and the likelihood call it, (x_t, t) -> output, each call by itself.

    labels: as in `sampling_network`. `with_estimate`: see `self_condition.for_training`.
    """
    network = with_labels(network_input.from_x_t(network, diffusion), labels)
    return self_condition.for_training(network, diffusion, with_estimate)


def with_labels(network: Network, labels: Tensor | None) -> Network:
    """(x_t, t, y) -> output as (x_t, t) -> output, for pictures of these labels, (B,)."""
    if labels is None:
        return network
    return lambda x_t, t: network(x_t, t, labels)


def _padded(rows: Tensor, count: int) -> Tensor:
    """`rows`, (B, ...), with the last one again until there are `count`."""
    missing = count - len(rows)
    if missing <= 0:
        return rows
    return _numbered(torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]), rows)


def _numbered(rows: Tensor, like: Tensor) -> Tensor:
    """`rows` of the timesteps `like`, which say the same of all rows as these do, where they say it: see `_scale_at`."""
    if hasattr(like, "number"):
        rows.number = like.number
    return rows


def _scale_at(guidance: Guidance, t: Tensor) -> float | Tensor:
    """The scale at t, (B,): one for all rows, or one for each, (B, 1, 1, 1).

    Samplers say beside t that it is the same for all (see `diffusion.samplers`): then no GPU is waited for.
    """
    if guidance.interval is None:
        return guidance.scale
    if hasattr(t, "number"):
        return guidance.scale_at(t.number)
    first, last = guidance.interval
    guided = (first <= t) & (t <= last)
    return torch.where(guided, guidance.scale, 1.0).view(-1, 1, 1, 1) if guided.any() else 1.0


def _guided(
    network: Network, diffusion: GaussianDiffusion, labels: Tensor, num_classes: int, guidance: Guidance
) -> Network:
    """Classifier-free guidance, Ho and Salimans 2022, Eq. 6, both halves in one batch; see `Guidance`.

    x_0, noise and v are affine in each other for a given x_t, so whichever the network emits may be guided; a network trained
    by the loss of clipped estimates means no more by one beyond [-1, 1] than by its end, so its are clipped before. Channels
    that name the variance are the conditional network's own.
    """
    if guidance.scale == 1:
        return with_labels(network, labels)
    both_labels = torch.cat([labels, torch.full_like(labels, num_classes)])

    def call(x_t: Tensor, t: Tensor) -> Tensor:
        scale = _scale_at(guidance, t)
        if isinstance(scale, float) and scale == 1:
            return network(x_t, t, labels)
        both_times = _numbered(torch.cat([t, t]), t)
        conditional, unconditional = network(torch.cat([x_t, x_t]), both_times, both_labels).chunk(2)
        estimate, variance = diffusion.split(conditional)
        without, _ = diffusion.split(unconditional)
        if diffusion.loss_of_clipped:
            shown = x_t[:, : estimate.shape[1]]  # without self-conditioning's channels
            clipped = [diffusion.predict(half, shown, t, clip=False).x_0.clamp(-1, 1) for half in (unconditional, conditional)]
            guided = diffusion.output_for(torch.lerp(*clipped, scale), shown, t)
        else:
            guided = without + scale * (estimate - without)
        return guided if variance is None else torch.cat([guided, variance], dim=1)

    return call


def _with_known(network: Network, diffusion: GaussianDiffusion, known: Known) -> Network:
    """The known pixels of RePaint (Lugmayr et al. 2022, Eq. 8), for any sampler.

    The network sees them as q(x_t | x_0) has them, freshly drawn for each call (Eq. 8a), and their estimate is x_0 itself, so
    that the sampler takes its own state of them to x_0. Of the others the estimate is the network's, clipped as `predict` does;
    clipping it once more leaves it. Channels that name the variance are left as they are.
    """

    def call(x_t: Tensor, t: Tensor) -> Tensor:
        channels = known.x_0.shape[1]
        x, shown = x_t[:, :channels], x_t[:, channels:]  # the latter are self-conditioning's
        x_0 = known.x_0.to(x.dtype)
        seen = torch.where(known.mask, diffusion.q_sample(x_0, t, known.noise_like(x)), x)
        output = network(torch.cat([seen, shown], dim=1), t).to(x.dtype)
        _, variance = diffusion.split(output)
        x_0 = torch.where(known.mask, x_0, diffusion.predict(output, seen, t).x_0)
        estimate = diffusion.output_for(x_0, x, t)
        return estimate if variance is None else torch.cat([estimate, variance], dim=1)

    return call
