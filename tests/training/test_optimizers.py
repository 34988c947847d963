"""Muon beside Adam: what its update is, which parameters it takes, and that resuming is exact."""

import copy
import math

import pytest
import torch

from models import build_model
from tests.models.test_models import SMALL
from training.optimizers import (
    MOMENTUM,
    MuonWithAdam,
    build_optimizer,
    inner_matrices,
    muon_updates,
    orthogonalized,
    set_learning_rate,
)
from utils.errors import RequestError
from utils.untrusted import load_optimizer

RATES = {"learning_rate": 2e-3, "muon_learning_rate": 1e-2, "betas": (0.9, 0.99)}


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 16, 144), (2, 96, 24), (1, 1, 9)])
def test_the_update_has_singular_values_near_1_and_the_gradient_s_singular_vectors(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = torch.stack(orthogonalized(list(matrices)))
    values = torch.linalg.svdvals(found)
    # A square Gaussian matrix has some singular values below 0.001 of its norm, which are not yet there.
    if shape[1] != shape[2]:
        assert values.min() > 0.65
    assert values.median() > 0.65 and values.max() < 1.25
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    core = u.mT @ found @ vh.mT  # diagonal, where the singular vectors are kept
    off = core - torch.diag_embed(core.diagonal(dim1=1, dim2=2))
    assert off.abs().max() < 1e-3


def test_it_does_not_depend_on_the_gradient_s_size_nor_on_what_it_is_worked_with():
    """Some of one shape, some whose shorter side is the same, some tall, in any order."""
    stream = torch.Generator().manual_seed(0)
    matrices = [torch.randn(shape, generator=stream) for shape in [(8, 24), (9, 24), (8, 24), (40, 8), (8, 8), (24, 9), (8, 30)]]
    found = orthogonalized(matrices)
    alone = [orthogonalized([matrix])[0] for matrix in matrices]
    turned = [one.mT for one in orthogonalized([matrix.mT for matrix in reversed(matrices)])][::-1]
    for other in (alone, turned, orthogonalized([1000 * matrix for matrix in matrices])):
        torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-5)
    assert not orthogonalized([torch.zeros(3, 4)])[0].any()


def test_the_same_polynomial_as_written_by_its_author():
    """X <- a X + (b A + c A A) X with A = X X^T, five times, in float64."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix = torch.randn(6, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    torch.testing.assert_close(orthogonalized([matrix])[0], x, rtol=1e-5, atol=1e-6)


def small_model(num_classes=3):
    torch.manual_seed(0)
    return build_model(**SMALL, num_classes=num_classes)


def test_inner_matrices_are_all_that_meet_neither_pixels_nor_labels():
    model = small_model()
    names = {name for name, parameter in model.named_parameters() if parameter.ndim >= 2}
    inner = {id(parameter) for parameter in inner_matrices(model)}
    left_out = {name for name, parameter in model.named_parameters() if name in names and id(parameter) not in inner}
    assert left_out == {"down_blocks.0.0.weight", "out.2.weight", "class_embed.weight"}
    optimizer = build_optimizer("muon", model, **RATES)
    taken = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(taken) == sorted(map(id, model.parameters()))


def test_one_step_by_hand():
    """Muon's first step from a momentum of 0, and Adam's, which is the learning rate times the gradient's sign."""
    matrix = torch.nn.Parameter(torch.randn(4, 3, 3, 3))
    bias = torch.nn.Parameter(torch.zeros(5))
    optimizer = MuonWithAdam([matrix], [bias], 2e-3, 1e-2, (0.9, 0.99))
    before = matrix.detach().clone()
    matrix.grad, bias.grad = torch.randn(4, 3, 3, 3), torch.tensor([1.0, -2.0, 3.0, -4.0, 5.0])
    set_learning_rate(optimizer, 1e-3)  # half: both are
    optimizer.step()
    torch.testing.assert_close(bias.detach(), -1e-3 * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0]), rtol=1e-5, atol=1e-8)
    expected = orthogonalized([matrix.grad.reshape(4, 27)])[0].reshape(4, 3, 3, 3)  # momentum only scales it, and 4 < 27
    torch.testing.assert_close((before - matrix.detach()) / 5e-3, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(optimizer.state[matrix]["momentum"], (1 - MOMENTUM) * matrix.grad)


def test_a_convolution_with_its_channels_last_is_the_same_matrix():
    gradients = [torch.randn(shape, generator=torch.Generator().manual_seed(0)) for shape in [(4, 3, 3, 3), (6, 4)]]
    lasting = [gradients[0].to(memory_format=torch.channels_last), gradients[1]]
    found, expected = muon_updates(*lasting), muon_updates(*gradients)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    assert [one.stride() for one in found] == [one.stride() for one in lasting]


def test_tall_matrices_take_larger_steps():
    tall = torch.nn.Parameter(torch.zeros(32, 8))
    optimizer = MuonWithAdam([tall], [torch.nn.Parameter(torch.zeros(1))], 1.0, 1.0, (0.9, 0.99))
    tall.grad = torch.randn(32, 8)
    optimizer.step()
    size = tall.detach().norm() / math.sqrt(8)  # root mean square of its 8 singular values
    assert 0.8 * math.sqrt(32 / 8) < size < 1.2 * math.sqrt(32 / 8)


def advance(model, optimizer, steps, start=0):
    for step in range(start, start + steps):
        stream = torch.Generator().manual_seed(step)
        x, t = torch.randn(4, 3, 16, 16, generator=stream), torch.randint(1000, (4,), generator=stream)
        set_learning_rate(optimizer, 2e-3 / (1 + step))
        optimizer.zero_grad()
        (model(x, t, t % 3) - x).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_a_state_saved_and_loaded_goes_on_bit_for_bit(name, tmp_path):
    straight = small_model()
    optimizer = build_optimizer(name, straight, **RATES)
    advance(straight, optimizer, 6)

    first = small_model()
    optimizer_1 = build_optimizer(name, first, **RATES)
    advance(first, optimizer_1, 3)
    torch.save([first.state_dict(), optimizer_1.state_dict()], tmp_path / "state.pt")
    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    second = small_model()
    second.load_state_dict(weights)
    optimizer_2 = build_optimizer(name, second, **RATES)
    advance(copy.deepcopy(second), optimizer_2, 1)  # what it holds must all be replaced
    load_optimizer(optimizer_2, state, "state.pt")
    advance(second, optimizer_2, 3, start=3)
    torch.testing.assert_close(dict(second.state_dict()), dict(straight.state_dict()), rtol=0, atol=0)
    torch.testing.assert_close(optimizer_2.state_dict()["state"], optimizer.state_dict()["state"], rtol=0, atol=0)


def test_the_rate_of_a_resumed_run_is_the_settings_and_not_the_state_s():
    model = small_model()
    saved = build_optimizer("muon", model, **RATES).state_dict()
    changed = build_optimizer("muon", model, **(RATES | {"muon_learning_rate": 4e-3}))
    load_optimizer(changed, saved, "state.pt")
    set_learning_rate(changed, 1e-3)
    assert [group["lr"] for group in changed.param_groups] == [1e-3, pytest.approx(2e-3)]


@pytest.mark.parametrize("before, now", [("adam", "muon"), ("muon", "adam")])
def test_the_state_of_the_other_optimizer_is_refused(before, now):
    model = small_model()
    saved = build_optimizer(before, model, **RATES)
    advance(model, saved, 1)
    with pytest.raises(RequestError, match="does not fit this training's"):
        load_optimizer(build_optimizer(now, model, **RATES), saved.state_dict(), "state.pt")


def test_it_learns():
    model = small_model()
    optimizer = build_optimizer("muon", model, **RATES)
    x, t = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(8) * 100
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (model(x, t, t % 3) - x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
