"""MeanFlow beside a teacher and its student: its target where the mean velocity is known, and that the program resumes."""

import json

import pytest
import torch
from torch.testing import assert_close

from tests.benchmarks.test_side_by_side import result_of


def times(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """r < t, (count,) each, from 0.02 to 1."""
    t = torch.linspace(0.05, 1, count, dtype=torch.float64)
    return t * torch.linspace(0.4, 0.9, count, dtype=torch.float64), t


def test_the_target_is_the_mean_velocity_of_a_single_picture():
    """All ways end at c: the velocity at z_t is (z_t - c) / t all along, and so is its mean."""
    from benchmarks.meanflow import mean_velocity_target, per_picture

    c, z, (r, t) = 0.3, torch.randn(7, 1, 4, 4, dtype=torch.float64), times(7)
    velocity = (z - c) / per_picture(t)
    found = mean_velocity_target(lambda z, r, t: (z - c) / per_picture(t), z, r, t, velocity)
    assert_close(found, velocity, rtol=1e-12, atol=1e-12)


def test_the_target_is_the_mean_velocity_of_a_gaussian():
    """Pictures of N(0, s^2): the ODE scales z_t by std_r / std_t on its way to z_r, std_t^2 = (1 - t)^2 s^2 + t^2."""
    from benchmarks.meanflow import mean_velocity_target, per_picture

    s, z, (r, t) = 0.5, torch.randn(7, 1, 4, 4, dtype=torch.float64), times(7)

    def std(t: torch.Tensor) -> torch.Tensor:
        return (((1 - t) * s) ** 2 + t**2).sqrt()

    def mean_velocity(z: torch.Tensor, r: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return z * per_picture((1 - std(r) / std(t)) / (t - r))

    velocity = z * per_picture((t - (1 - t) * s**2) / std(t) ** 2)  # std' / std
    found = mean_velocity_target(mean_velocity, z, r, t, velocity)
    assert_close(found, mean_velocity(z, r, t), rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_both_ways_are_trained_and_measured_and_what_is_there_is_kept(tmp_path):
    pytest.importorskip("torch_fidelity")
    options = ["--epochs", "0.1", "--trainings", "1", "--pictures", "70", "--runs", str(tmp_path / "runs")]
    first = result_of(tmp_path, "meanflow", *options)
    assert [row["variant"] for row in first["rows"]] == list(first["steps"])
    assert all(row[f"fid_{calls}"] > 0 for row in first["rows"] for calls in (1, 2, 4))
    record = tmp_path / "result.json"
    record.write_text(json.dumps(first | {"rows": first["rows"][:-1]}))
    again = result_of(tmp_path, "meanflow", *options)
    assert again["rows"][0] == first["rows"][0] and again["steps"] == first["steps"]
    assert again["rows"][1]["fid_1"] == first["rows"][1]["fid_1"]  # trained anew, and the same
