"""How much each timestep counts in the loss."""

import torch
from torch import Tensor

WEIGHTINGS = ("none", "p2", "min_snr")


def loss_weight(
    weighting: str, objective: str, snr: Tensor, *, p2_k: float, p2_gamma: float, min_snr_gamma: float
) -> Tensor:
    """The factor of each picture's loss, like `snr` = alpha_bar / (1 - alpha_bar), (B,).

    Both papers give a weight w of the squared error of the noise:
        p2       w = 1 / (k + SNR)^gamma                     (Choi et al. 2022, Eq. 8)
        min_snr  w = min(SNR, gamma) / SNR                   (Hang et al. 2023, Sec. 3.4)
    For another objective the same loss is written with the error of what the network emits: the squared error of the
    noise is SNR times that of x_0, by which pred_edm is trained too, and SNR / (SNR + 1) times that of v. With l1 or huber
    the same factors are used.
    """
    if weighting == "p2":
        of_noise = (p2_k + snr) ** -p2_gamma
    elif weighting == "min_snr":
        of_noise = snr.clamp(max=min_snr_gamma) / snr
    else:
        raise ValueError(f"weighting {weighting!r} has no weights; it is one of {', '.join(WEIGHTINGS[1:])}")
    translation = {"pred_noise": torch.ones_like(snr), "pred_x0": snr, "pred_edm": snr, "pred_v": snr / (snr + 1)}
    return of_noise * translation[objective]
