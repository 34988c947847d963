import math

import numpy as np
import pytest
import torch

from diffusion import Prediction
from tests.small_training import ALONE
from training.monitor import TrainingMonitor
from training.previews import ClippedShare, data_figures, picture_figures, picture_warnings


@pytest.fixture
def monitor():
    return TrainingMonitor(1000, torch.device("cpu"))


def test_the_figures_are_the_means_by_quarter_of_t(monitor):
    monitor.note_losses(torch.tensor([0, 249, 250, 999]), torch.tensor([1.0, 3.0, 5.0, 7.0]))
    monitor.note_losses(torch.tensor([1, 750]), torch.tensor([5.0, 9.0]))
    monitor.note_gradient(0, torch.tensor(2.0), scaled=False)
    monitor.note_gradient(1, torch.tensor(4.0), scaled=False)
    assert monitor.figures(ALONE) == {"loss": 5.0, "grad_norm": 3.0, "loss_q1": 3.0, "loss_q2": 5.0, "loss_q4": 8.0}
    assert monitor.figures(ALONE) == {"grad_norm": 0.0}  # a fresh start


@pytest.mark.parametrize("timestep_num", [1, 3, 4, 10, 1000])
def test_every_t_has_a_quarter(timestep_num):
    monitor = TrainingMonitor(timestep_num, torch.device("cpu"))
    monitor.note_losses(torch.arange(timestep_num), torch.ones(timestep_num))
    assert monitor.loss_sums[:, 1].sum() == timestep_num


def test_the_first_nonfinite_step_is_remembered_and_not_counted(monitor):
    assert monitor.first_nonfinite_step() is None
    for step, norm in enumerate([1.0, math.inf, 3.0, math.nan]):
        monitor.note_gradient(step, torch.tensor(norm), scaled=False)
    monitor.note_losses(torch.tensor([0, 0]), torch.tensor([math.nan, 2.0]))
    assert monitor.first_nonfinite_step() == 1
    assert monitor.figures(ALONE) == {"loss": 2.0, "grad_norm": 2.0, "loss_q1": 2.0}
    scaled = TrainingMonitor(1000, torch.device("cpu"))
    scaled.note_gradient(0, torch.tensor(math.inf), scaled=True)
    assert scaled.first_nonfinite_step() is None


def test_its_state_travels(monitor):
    monitor.note_losses(torch.tensor([0, 600]), torch.tensor([1.0, 2.0]))
    monitor.note_gradient(7, torch.tensor(math.nan), scaled=False)
    other = TrainingMonitor(1000, torch.device("cpu"))
    other.load_state_dict(monitor.state_dict())
    monitor.note_losses(torch.tensor([0]), torch.tensor([100.0]))  # they share nothing
    assert other.first_nonfinite_step() == 7 and other.figures(ALONE)["loss"] == 1.5


def figures_of(monitor, loss, count=100, norm=1.0):
    monitor.note_losses(torch.full((count,), 10), torch.full((count,), loss))
    monitor.note_gradient(0, torch.tensor(norm), scaled=False)
    return monitor.figures(ALONE)


def test_a_rising_loss_and_a_gradient_that_is_cut_are_said_in_words(monitor):
    def warnings(loss, warm=True, **options):
        return monitor.warnings(figures_of(monitor, loss, **options), 1.0, warm)

    assert warnings(0.1, warm=False) == []  # nothing is the best before the training is warm
    assert warnings(1.0) == [] and warnings(1.9) == []
    assert ["the loss has risen to 2.1 from 1" in said for said in warnings(2.1)] == [True]
    assert len(warnings(4.1)) == 2 and "in quarter 1 of t" in warnings(4.1)[1]
    assert len(warnings(4.1, count=10)) == 1  # too few to blame a quarter
    assert warnings(1.0, norm=9.0) == []
    assert "over 10 times train.grad_clip" in warnings(1.0, norm=11.0)[0]
    assert monitor.warnings(figures_of(monitor, 1.0, norm=11.0), None, True) == []


def test_the_clipped_share_is_counted_over_steps_and_pictures():
    share = ClippedShare()
    for values in ([1.0, -1.0, 0.5, 0.0], [0.9, 0.0, 0.0, -1.0]):
        x_0 = torch.tensor(values).view(1, 1, 2, 2)
        share(0, 9, 8, x_0, Prediction(x_0, x_0))
    total, count = share.sums().tolist()
    assert total / count == (0.5 + 0.25) / 2


def colour(red, green, blue, count=64, seed=0):
    """Pictures whose channels are half black and half the level given, each pixel by chance."""
    dice = np.random.default_rng(seed).integers(0, 2, (count, 3, 8, 8))
    return (dice * np.array([red, green, blue]).reshape(1, 3, 1, 1)).astype(np.uint8)


def test_pictures_are_judged_beside_the_data():
    data = data_figures(colour(200, 200, 200))
    assert data["data_clipped"] == pytest.approx(0.5, abs=0.02)
    assert data["data_mean_0"] == pytest.approx(100 / 127.5 - 1, abs=0.02)
    assert data["data_std_0"] == pytest.approx(100 / 127.5, abs=0.02)

    def warnings(pictures, clipped=0.5):
        return picture_warnings(data | picture_figures(pictures, "drawn") | {"clipped": clipped})

    assert warnings(colour(200, 200, 200, seed=1)) == []
    assert "drawn pictures are tinted: too much red" in warnings(colour(255, 190, 190))
    assert any("darker" in said for said in warnings(colour(140, 140, 140)))
    pale = (colour(200, 200, 200).astype(int) // 2 + 50).astype(
        np.uint8
    )  # the same mean, half of the standard deviation
    assert [said.split(":")[0] for said in warnings(pale)] == ["drawn pictures are washed out"] * 3
    assert ["clipped while drawing" in said for said in warnings(colour(200, 200, 200), clipped=0.9)] == [True]
