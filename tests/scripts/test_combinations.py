"""Every combination of the diffusion block that the configuration admits trains and draws; the others are refused by name."""

import itertools
import random

import pytest
import torch

from diffusion import SAMPLERS, SampleInfo, build_diffusion, self_condition
from diffusion.schedules import SCHEDULES
from models import build_model
from sampling.drawing import draw
from utils.config import load_settings
from utils.errors import RequestError

CHOICES = {
    "objective": ["pred_noise", "pred_x0", "pred_v", "pred_flow", "pred_edm"],
    "loss_type": ["l1", "l2", "huber", "picture_huber"],
    "weighting": ["none", "p2", "min_snr", "edm"],
    "beta_schedule": list(SCHEDULES),
    "zero_terminal_snr": [False, True],
    "self_condition": [False, True],
    "variance": ["fixed_small", "fixed_large", "learned"],
    "clip_denoised": [True, False, "dynamic"],
}
EVERY = [dict(zip(CHOICES, values)) for values in itertools.product(*CHOICES.values())]
TINY = ["data.image_size=8", "model.base_channels=8", "model.norm_groups=4", "model.channel_mult=[1]", "model.patch_size=2",
        "model.num_res_blocks=1", "model.attention_resolutions=[4]", "diffusion.timestep_num=50",
        "model.num_classes=0", "sample.sample_info=DDIM_3_0p0", "diffusion.loss_of_clipped=false"]  # fmt: skip


def makes_no_sense(choice):
    return choice["zero_terminal_snr"] and (choice["objective"] == "pred_noise" or choice["weighting"] in ("p2", "min_snr"))


def settings_of(choice):
    values = {key: str(value).lower() for key, value in choice.items()}
    return load_settings(
        "config.yaml", "Mnist_Mini", [*TINY, *(f"diffusion.{key}={value}" for key, value in values.items())]
    )


def check(choice):
    if makes_no_sense(choice):
        with pytest.raises(RequestError, match="zero terminal SNR"):
            settings_of(choice)
        return
    settings = settings_of(choice)
    torch.manual_seed(0)
    model = build_model(**settings.model_arguments())
    diffusion = build_diffusion(**settings.diffusion.model_dump())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(2):
        shown = self_condition.for_training(model, diffusion, with_estimate=step == 1)
        x_0, noise = torch.rand(4, 1, 8, 8) * 2 - 1, torch.randn(4, 1, 8, 8)
        losses = diffusion.training_losses(shown, x_0, torch.tensor([0, 1, 25, 49]), noise)
        assert losses.shape == (4,) and torch.isfinite(losses).all(), choice
        optimizer.zero_grad()
        losses.mean().backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters()), choice
        optimizer.step()
    model.eval()
    for method in SAMPLERS:
        # The zero-initialised network's tiny output is no extreme: what is not finite comes from the formulas.
        told = []
        info = SampleInfo(method, 3, 0.0)
        draw(model, diffusion, info, [0, 1], (1, 8, 8), torch.device("cpu"), lambda *step, told=told: told.append(step))
        assert all(torch.isfinite(x_t).all() and torch.isfinite(p.x_0).all() for *_, x_t, p in told), (choice, method)


@pytest.mark.parametrize("seed", range(8))
def test_a_sample_of_all_combinations(seed):
    for choice in random.Random(seed).sample(EVERY, 12):
        check(choice)


@pytest.mark.slow
@pytest.mark.parametrize("objective", CHOICES["objective"])
@pytest.mark.parametrize("beta_schedule", CHOICES["beta_schedule"])
def test_all_combinations(objective, beta_schedule):
    for choice in EVERY:
        if (choice["objective"], choice["beta_schedule"]) == (objective, beta_schedule):
            check(choice)


def test_self_conditioning_shows_zeros_first_and_then_the_last_estimate():
    settings = settings_of({"self_condition": True, "objective": "pred_x0"})
    diffusion = build_diffusion(**settings.diffusion.model_dump())
    seen = []

    def network(x, t):
        seen.append(x)
        return 0.5 * x[:, :1]

    shown = self_condition.for_sampling(network, diffusion)
    x_t, t = torch.randn(2, 1, 8, 8), torch.tensor([10, 10])
    first = shown(x_t, t)
    shown(x_t, t)
    assert torch.equal(seen[0], torch.cat([x_t, torch.zeros_like(x_t)], dim=1))
    assert torch.equal(seen[1], torch.cat([x_t, first.clamp(-1, 1)], dim=1))

    seen.clear()
    self_condition.for_training(network, diffusion, with_estimate=False)(x_t, t)
    self_condition.for_training(network, diffusion, with_estimate=True)(x_t, t)
    assert [x[:, 1:].abs().sum() > 0 for x in seen] == [False, False, True]
    assert torch.equal(seen[2][:, 1:], first.clamp(-1, 1))
