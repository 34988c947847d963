import json
import math

import numpy as np
import pytest
import torch

from models import UNet, build_model
from models.blocks import AttentionBlock, Dropout, ResidualBlock
from models.unet import timestep_embedding

SMALL = {
    "image_size": 16,
    "image_channel": 3,
    "base_channels": 16,
    "channel_mult": [1, 2],
    "num_res_blocks": 1,
    "attention_resolutions": [8],
    "num_heads": 4,
    "dropout": 0.0,
    "norm_groups": 8,
    "patch_size": 1,
}


def test_weights_of_the_family_are_carried_over_by_name_and_give_the_same_output():
    """An independent implementation of the same network, 35.7M parameters, wrote these inputs and outputs."""
    described = json.load(open("tests/data/base_unet_keys.json"))
    reference = np.load("tests/data/base_unet_reference.npz")
    model = UNet(3, 3, 128, (1, 2, 2, 2), num_res_blocks=2, attention_strides=(8, 16), num_heads=4).eval()
    assert {name: list(tensor.shape) for name, tensor in model.state_dict().items()} == described["shapes"]
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in described["shapes"].items():
        drawn = torch.randn(shape, generator=generator)
        scaled = drawn / math.sqrt(drawn[0].numel()) if drawn.ndim > 1 else 0.1 * drawn + name.endswith("weight")
        weights[name] = scaled
    model.load_state_dict(weights)
    with torch.no_grad():
        output = model(torch.from_numpy(reference["x_t"]), torch.from_numpy(reference["t"]))
    torch.testing.assert_close(output, torch.from_numpy(reference["output"]), rtol=1e-4, atol=5e-5)


@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (1, 3, 8, 24), (3, 4, 32, 16)])
@pytest.mark.parametrize("patch_size", [1, 2])
def test_any_channels_and_sizes_that_are_not_square(shape, patch_size):
    model = UNet(shape[1], 2 * shape[1], 16, (1, 2), 1, (1,), norm_groups=4, patch_size=patch_size)
    assert model(torch.randn(shape), torch.arange(shape[0])).shape == (shape[0], 2 * shape[1], *shape[2:])


def test_sizes_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match="18, 16.*multiples of 4"):
        UNet(1, 1, 16, (1, 2), 1, patch_size=2, norm_groups=4)(torch.randn(1, 1, 18, 16), torch.zeros(1))


def test_a_fresh_network_says_nothing_and_its_blocks_are_the_identity():
    model = build_model(**SMALL)
    x = torch.randn(2, 3, 16, 16)
    assert torch.count_nonzero(model(x, torch.tensor([0, 999]))) == 0
    h = torch.randn(2, 16, 4, 4)
    assert torch.equal(ResidualBlock(16, 16, 64, 0.0, 8)(h, torch.randn(2, 64)), h)
    assert torch.equal(AttentionBlock(16, 4, 8)(h), h)


def test_every_weight_learns():
    """After one step away from the zero initialisation, each parameter has a gradient that is not zero."""
    torch.manual_seed(0)
    model = build_model(**SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    model(torch.randn(2, 3, 16, 16), torch.tensor([3, 700])).pow(2).sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0]


def test_the_output_depends_on_t_and_not_on_the_neighbours_in_the_batch():
    torch.manual_seed(0)
    model = build_model(**SMALL).eval()
    torch.nn.init.normal_(model.out[2].weight, std=0.1)
    for module in model.modules():
        if isinstance(module, ResidualBlock):
            torch.nn.init.normal_(module.conv2[3].weight, std=0.1)
    x, t = torch.randn(3, 3, 16, 16), torch.tensor([1, 500, 999])
    together = model(x, t)
    assert not torch.allclose(together[:1], model(x[:1], t[1:2]), atol=1e-3)
    torch.testing.assert_close(together[1:2], model(x[1:2], t[1:2]), rtol=1e-4, atol=1e-5)


def test_attention_is_softmax_of_scaled_products():
    torch.manual_seed(0)
    block = AttentionBlock(8, 2, 4)
    torch.nn.init.normal_(block.proj.weight)
    x = torch.randn(1, 8, 2, 3)
    q, k, v = block.qkv(block.norm(x)).reshape(2, 3, 4, 6).unbind(1)  # (heads, C / heads, H * W)
    weight = torch.softmax(torch.einsum("hcq,hck->hqk", q, k) / math.sqrt(4), dim=-1)
    h = torch.einsum("hqk,hck->hcq", weight, v).reshape(1, 8, 2, 3)
    torch.testing.assert_close(block(x), x + block.proj(h), rtol=1e-4, atol=1e-5)


def test_patches_are_folded_and_unfolded_in_place():
    """With an identity for a network, a picture comes out where it went in."""
    model = UNet(1, 1, 8, (1,), 1, norm_groups=4, patch_size=2)
    model.down_blocks = torch.nn.ModuleList()
    model.up_blocks = torch.nn.ModuleList()
    model.middle_block = type("Same", (torch.nn.Module,), {"forward": lambda self, h, time: h})()
    model.out = torch.nn.Identity()
    x = torch.randn(1, 1, 6, 4)
    assert torch.equal(model(x, torch.zeros(1)), x)


def test_timestep_embedding_is_cosines_then_sines():
    embedding = timestep_embedding(torch.tensor([0, 7]), 4)
    expected = torch.tensor([[1, 1, 0, 0], [math.cos(7), math.cos(0.07), math.sin(7), math.sin(0.07)]])
    torch.testing.assert_close(embedding, expected, rtol=1e-5, atol=1e-6)


def test_dropout_is_there_in_training_and_gone_in_drawing():
    model = build_model(**SMALL | {"dropout": 0.5})
    assert [m.p for m in model.modules() if isinstance(m, Dropout)] == [0.5] * 8
    torch.nn.init.normal_(model.out[2].weight)
    for block in (m for m in model.modules() if isinstance(m, ResidualBlock)):
        torch.nn.init.normal_(block.conv2[3].weight)
    x, t = torch.randn(1, 3, 16, 16), torch.zeros(1)
    assert not torch.equal(model(x, t), model(x, t))
    model.eval()
    assert torch.equal(model(x, t), model(x, t))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"image_size": 18, "channel_mult": [1, 2, 2]}, "image_size 18.*multiple of 4"),
        ({"image_size": 18, "patch_size": 4}, "image_size 18.*patch_size 4.*multiple of 8"),
        ({"image_size": [18, 16], "patch_size": 2}, r"image_size \[18, 16\].*both sides must be multiples of 4"),
        ({"image_size": (16, 24), "attention_resolutions": [24]}, r"24, which never occurs.*\[16, 8\]"),
        ({"attention_resolutions": [32]}, r"32, which never occurs.*\[16, 8\]"),
        ({"attention_resolutions": [16], "patch_size": 2}, r"16, which never occurs.*\[8, 4\]"),
        ({"norm_groups": 12}, "norm_groups 12 does not divide the 16"),
        ({"num_heads": 5}, "num_heads 5 does not divide the 32"),
        ({"base_channels": 17, "norm_groups": 17}, "base_channels 17 must be even"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        build_model(**SMALL | change)


def test_attention_resolutions_are_sides_of_feature_maps():
    model = build_model(**SMALL | {"image_size": 32, "patch_size": 2, "attention_resolutions": [16]})
    sides = []
    for block in (m for m in model.modules() if isinstance(m, AttentionBlock)):
        block.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
    model(torch.randn(1, 3, 32, 32), torch.zeros(1))
    assert sides == [16, 8, 16, 16]  # down, middle, up, up


def test_dropout_masks_belong_to_the_batch_however_it_is_cut():
    dropout, x = Dropout(0.3), torch.rand(5, 3, 4, 4) + 1
    torch.manual_seed(0)
    whole = dropout(x)
    for rows in (slice(0, 2), slice(2, 5)):
        dropout.first, dropout.batch_size = torch.tensor(rows.start), 5
        torch.manual_seed(0)
        torch.testing.assert_close(dropout(x[rows]), whole[rows], rtol=0, atol=0)
    assert torch.equal(dropout.eval()(x), x)


def test_dropout_keeps_the_mean_and_drops_its_share():
    torch.manual_seed(0)
    dropped = Dropout(0.3)(torch.ones(64, 8, 16, 16))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)  # 131,072 dice: 8 standard deviations
    assert torch.equal(Dropout(0.0)(dropped), dropped)


def test_every_dropout_of_the_network_is_told_of_its_part():
    torch.manual_seed(0)
    model = UNet(1, 1, 8, (1, 2), 1, dropout=0.5, norm_groups=4)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x, t = torch.randn(3, 1, 8, 8), torch.tensor([1, 5, 9])
    torch.manual_seed(1)
    whole = model(x, t)
    for first in range(3):
        model.part_of_batch(first, 3)
        torch.manual_seed(1)
        torch.testing.assert_close(
            model(x[first : first + 1], t[first : first + 1]), whole[first : first + 1], rtol=1e-4, atol=1e-5
        )


def test_classes_add_one_embedding_and_change_no_other_weight():
    torch.manual_seed(0)
    plain = build_model(**SMALL)
    torch.manual_seed(0)
    with_classes = build_model(**SMALL, num_classes=4)
    weights = dict(with_classes.state_dict())
    assert weights.pop("class_embed.weight").shape == (5, 64)
    torch.testing.assert_close(weights, dict(plain.state_dict()), rtol=0, atol=0)


def test_no_label_is_the_null_label():
    model = build_model(**SMALL, num_classes=4)
    for layer in (model.out[2], *(stage[0].conv2[3] for stage in model.up_blocks)):  # they begin as zeros
        torch.nn.init.normal_(layer.weight)
    x, t = torch.randn(3, 3, 16, 16), torch.tensor([0, 5, 999])
    assert torch.equal(model(x, t), model(x, t, torch.tensor([4, 4, 4])))
    assert not torch.equal(model(x, t)[0], model(x, t, torch.tensor([1, 4, 4]))[0])
    assert torch.equal(model(x, t)[1:], model(x, t, torch.tensor([1, 4, 4]))[1:])
