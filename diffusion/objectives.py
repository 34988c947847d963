"""What a network may emit, and how it is read: the one place that tells the objectives apart.

Each is an affine combination of x_0 and the noise, whose coefficients depend on t alone. So is x_t, and from the two follow
x_0 and the noise.
"""

from torch import Tensor

OBJECTIVES = ("pred_noise", "pred_x0", "pred_v", "pred_flow", "pred_edm")

Coefficient = float | Tensor  # one for all pictures, or (B, 1, 1, 1)


def output_of(
    objective: str, x_0: Tensor, noise: Tensor, signal: Coefficient, sigma: Coefficient, sigma_data: float
) -> Tensor:
    """What a network should emit at x_t = signal x_0 + sigma noise: all (B, C, H, W).

    pred_noise: the noise (DDPM). pred_x0: the picture. pred_v: v = signal noise - sigma x_0 (Salimans and Ho 2022).
    pred_flow: noise - x_0, the velocity of flow matching's straight path (Lipman et al. 2023, Eq. 23; Liu et al. 2023, Eq. 1),
    which passes x_t / (signal + sigma) at u = sigma / (signal + sigma), on any schedule; see docs/flow.md. pred_edm: F of EDM's
    D = c_skip x_t + c_out F (Karras et al. 2022, Eq. 7 and Table 1) for pixels of standard deviation `sigma_data`, where
    x_t / signal is their x: of unit variance at every t. For a sigma_data of 1 it is -v.
    """
    if objective == "pred_noise":
        return noise
    if objective == "pred_x0":
        return x_0
    if objective == "pred_v":
        return signal * noise - sigma * x_0
    if objective == "pred_flow":
        return noise - x_0
    std_of_x_t = ((sigma_data * signal) ** 2 + sigma**2) ** 0.5
    return (sigma / sigma_data * x_0 - sigma_data * signal * noise) / std_of_x_t


def read_output(
    objective: str, output: Tensor, x_t: Tensor, signal: Coefficient, sigma: Coefficient, sigma_data: float
) -> tuple[Tensor, Tensor]:
    """x_0 and the noise from what a network emitted at x_t: the inverse of `output_of`. All (B, C, H, W)."""
    if objective == "pred_noise":
        return (x_t - sigma * output) / signal, output
    if objective == "pred_x0":
        return output, (x_t - signal * output) / sigma
    if objective == "pred_v":
        return signal * x_t - sigma * output, sigma * x_t + signal * output
    if objective == "pred_flow":
        return (x_t - sigma * output) / (signal + sigma), (x_t + signal * output) / (signal + sigma)
    variance_of_x_t = (sigma_data * signal) ** 2 + sigma**2
    scaled = sigma_data / variance_of_x_t**0.5 * output
    x_0 = sigma_data**2 * signal / variance_of_x_t * x_t + sigma * scaled  # c_skip x_t + c_out F
    return x_0, sigma / variance_of_x_t * x_t - signal * scaled
