"""How much each timestep counts in the loss."""

import torch
from torch import Tensor

WEIGHTINGS = ("none", "p2", "min_snr", "edm")
WITHOUT_END = ("p2", "min_snr")  # they give a timestep without any signal no weight


def loss_weight(
    weighting: str,
    objective: str,
    snr: Tensor,
    *,
    p2_k: float,
    p2_gamma: float,
    min_snr_gamma: float,
    sigma_data: float,
) -> Tensor:
    """The factor of each picture's loss, like `snr` = alpha_bar / (1 - alpha_bar), (B,).

    Each is a weight w of the squared error of the noise:
        p2       w = 1 / (k + SNR)^gamma                     (Choi et al. 2022, Eq. 8)
        min_snr  w = min(SNR, gamma) / SNR                   (Hang et al. 2023, Sec. 3.4)
        edm      w = 1 + 1 / (sigma_data^2 SNR)              (Karras et al. 2022, Table 1: lambda(sigma), divided by SNR)
    For another objective the same loss is written with the error of what the network emits: the squared error of the
    noise is SNR times that of x_0, by which pred_edm is trained too, SNR / (SNR + 1) times that of v, and
    SNR / (sqrt(SNR) + 1)^2 times that of the flow's velocity. With another distance the same factors are used.
    """
    if weighting == "p2":
        of_noise = (p2_k + snr) ** -p2_gamma
    elif weighting == "min_snr":
        of_noise = snr.clamp(max=min_snr_gamma) / snr
    elif weighting == "edm":
        snr = snr.clamp(min=1e-30)  # at zero terminal SNR the product below is finite: 1 / sigma_data^2
        of_noise = 1 + 1 / (sigma_data**2 * snr)
    else:
        raise ValueError(f"weighting {weighting!r} has no weights; it is one of {', '.join(WEIGHTINGS[1:])}")
    translation = {
        "pred_noise": torch.ones_like(snr),
        "pred_x0": snr,
        "pred_edm": snr,
        "pred_v": snr / (snr + 1),
        "pred_flow": snr / (snr.sqrt() + 1) ** 2,
    }
    return of_noise * translation[objective]
