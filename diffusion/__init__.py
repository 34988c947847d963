"""The mathematics of diffusion models on pictures. Imports torch and itself, nothing else.

Legend, for every file of this folder and everyone who calls it:

    T            timestep_num, the number of steps of noise in training
    t            an integer, 0 ... T-1; t = 0 means ONE step of noise. (Papers count 1 ... T.)
    t_prev       where a sampler's step ends; -1 means clean
    beta_t       variance of a single step's noise; alpha_t = 1 - beta_t
    alpha_bar_t  alpha_0 * ... * alpha_t as in DDPM; 1 at t = -1. (The DDIM paper calls this alpha_t; DPM-Solver's
                 alpha_t is its square root.)
    x_0          a picture, (B, C, H, W), float in [-1, 1]; noise: standard normal, the same shape
    x_t          sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise
    signal       sqrt(alpha_bar_t); sigma: sqrt(1 - alpha_bar_t) (DPM-Solver's alpha_t and sigma_t)
    lambda       log(signal / sigma), half of the log SNR
    v            signal * noise - sigma * x_0 (Salimans and Ho 2022)
    u            sigma / (signal + sigma), flow matching's time, whose x_u is x_t / (signal + sigma); see docs/flow.md. EDM's
                 noise level, which it calls sigma, is sigma / signal = exp(-lambda)

Tables are float64. A sampler's state is float32 at least, whatever the network computes in. Samplers walk an explicit list
of jumps (t, t_prev); nothing recomputes a previous timestep. After x_0 is clipped, the noise is derived again from it.
"""

from diffusion import network_input, self_condition
from diffusion.build import build_diffusion
from diffusion.gaussian import GaussianDiffusion, Prediction
from diffusion.sample_info import Guidance, SampleInfo
from diffusion.samplers import SAMPLERS, encode, sample
from diffusion.schedules import draw_timesteps, draw_timesteps_by_sigma, make_betas, pairs_from, timestep_pairs

__all__ = [
    "SAMPLERS",
    "GaussianDiffusion",
    "Guidance",
    "Prediction",
    "SampleInfo",
    "build_diffusion",
    "draw_timesteps",
    "draw_timesteps_by_sigma",
    "encode",
    "make_betas",
    "network_input",
    "pairs_from",
    "sample",
    "self_condition",
    "timestep_pairs",
]
