import math

import numpy as np
import pytest
import torch

from diffusion import Prediction
from tests.training import ALONE
from training.monitor import ClippedShare, Doctor, data_figures, picture_complaints, picture_figures


@pytest.fixture
def doctor():
    return Doctor(1000, torch.device("cpu"))


def test_the_figures_are_the_means_by_quarter_of_t(doctor):
    doctor.note_losses(torch.tensor([0, 249, 250, 999]), torch.tensor([1.0, 3.0, 5.0, 7.0]))
    doctor.note_losses(torch.tensor([1, 750]), torch.tensor([5.0, 9.0]))
    doctor.note_gradient(0, torch.tensor(2.0), scaled=False)
    doctor.note_gradient(1, torch.tensor(4.0), scaled=False)
    assert doctor.figures(ALONE) == {"loss": 5.0, "grad_norm": 3.0, "loss_q1": 3.0, "loss_q2": 5.0, "loss_q4": 8.0}
    assert doctor.figures(ALONE) == {"grad_norm": 0.0}  # a fresh start


@pytest.mark.parametrize("timestep_num", [1, 3, 4, 10, 1000])
def test_every_t_has_a_quarter(timestep_num):
    doctor = Doctor(timestep_num, torch.device("cpu"))
    doctor.note_losses(torch.arange(timestep_num), torch.ones(timestep_num))
    assert doctor.sums[:, 1].sum() == timestep_num


def test_the_first_mishap_is_remembered_and_not_counted(doctor):
    assert doctor.first_mishap() is None
    for step, norm in enumerate([1.0, math.inf, 3.0, math.nan]):
        doctor.note_gradient(step, torch.tensor(norm), scaled=False)
    doctor.note_losses(torch.tensor([0, 0]), torch.tensor([math.nan, 2.0]))
    assert doctor.first_mishap() == 1
    assert doctor.figures(ALONE) == {"loss": 2.0, "grad_norm": 2.0, "loss_q1": 2.0}
    scaled = Doctor(1000, torch.device("cpu"))
    scaled.note_gradient(0, torch.tensor(math.inf), scaled=True)
    assert scaled.first_mishap() is None


def test_its_state_travels(doctor):
    doctor.note_losses(torch.tensor([0, 600]), torch.tensor([1.0, 2.0]))
    doctor.note_gradient(7, torch.tensor(math.nan), scaled=False)
    other = Doctor(1000, torch.device("cpu"))
    other.load_state_dict(doctor.state_dict())
    doctor.note_losses(torch.tensor([0]), torch.tensor([100.0]))  # they share nothing
    assert other.first_mishap() == 7 and other.figures(ALONE)["loss"] == 1.5


def figures_of(doctor, loss, count=100, norm=1.0):
    doctor.note_losses(torch.full((count,), 10), torch.full((count,), loss))
    doctor.note_gradient(0, torch.tensor(norm), scaled=False)
    return doctor.figures(ALONE)


def test_a_rising_loss_and_a_gradient_that_is_cut_are_said_in_words(doctor):
    def complaints(loss, warm=True, **options):
        return doctor.complaints(figures_of(doctor, loss, **options), 1.0, warm)

    assert complaints(0.1, warm=False) == []  # nothing is the best before the training is warm
    assert complaints(1.0) == [] and complaints(1.9) == []
    assert ["the loss has risen to 2.1 from 1" in said for said in complaints(2.1)] == [True]
    assert len(complaints(4.1)) == 2 and "in quarter 1 of t" in complaints(4.1)[1]
    assert len(complaints(4.1, count=10)) == 1  # too few to blame a quarter
    assert complaints(1.0, norm=9.0) == []
    assert "over 10 times train.grad_clip" in complaints(1.0, norm=11.0)[0]
    assert doctor.complaints(figures_of(doctor, 1.0, norm=11.0), None, True) == []


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
    assert data["data_spread_0"] == pytest.approx(100 / 127.5, abs=0.02)

    def complaints(pictures, clipped=0.5):
        return picture_complaints(data | picture_figures(pictures, "drawn") | {"clipped": clipped})

    assert complaints(colour(200, 200, 200, seed=1)) == []
    assert "drawn pictures are tinted: too much red" in complaints(colour(255, 190, 190))
    assert any("darker" in said for said in complaints(colour(140, 140, 140)))
    pale = (colour(200, 200, 200).astype(int) // 2 + 50).astype(np.uint8)  # the same mean, half of the spread
    assert [said.split(":")[0] for said in complaints(pale)] == ["drawn pictures are washed out"] * 3
    assert ["clipped while drawing" in said for said in complaints(colour(200, 200, 200), clipped=0.9)] == [True]
