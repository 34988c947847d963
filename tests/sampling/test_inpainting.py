"""Known pixels and drawing over, beside what is known of exact networks for finite sets of pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from datasets import to_float, to_uint8
from diffusion import GaussianDiffusion, SampleInfo, make_betas, sample
from diffusion.objectives import OBJECTIVES
from sampling.inpainting import edit, edit_pairs, inpaint, noised_back, resample, result_seeds, steps_of_noise
from sampling.masks import make_masks
from sampling.network import Known, sampling_network
from tests.diffusion.test_samplers import normal, scripted, wavy
from tests.oracles import FiniteOracle
from utils.errors import RequestError

T = 200
CPU = torch.device("cpu")
EVERY = ["DDPM_50_0p0", "DDIM_20_0p0", "DDIM_20_1p0", "DPMPP_20_0p0", "DPMPP_20_1p0", "HEUN_10_0p0", "UNIPC_10_0p0"]


def made(objective="pred_noise", **options):
    return GaussianDiffusion(make_betas("cosine", T), objective=objective, **options)


def pixels_of(pictures):
    """Members of -1 and 1 as uint8."""
    return to_uint8(pictures.float())


def fill(diffusion, network, text, pictures, masks, seeds, batch_size=64):
    return inpaint(network, diffusion, SampleInfo.parse(text), pictures, masks, seeds=seeds, batch_size=batch_size, device=CPU,
                   advance=lambda steps: None)  # fmt: skip


def draw_over(diffusion, network, text, pictures, strength, seeds):
    return edit(network, diffusion, SampleInfo.parse(text), pictures, strength=strength, seeds=seeds, batch_size=64, device=CPU,
                advance=lambda steps: None)  # fmt: skip


@pytest.mark.parametrize(
    "text", ["DDPM_50_0p0_r5", "DDIM_20_0p0_r20", "DDIM_20_1p0_r5", "DPMPP_20_0p0_r20", "HEUN_10_0p0_r20", "UNIPC_10_0p0_r20"]
)
def test_an_exact_network_ends_on_a_member_that_agrees_with_what_is_known(text):
    """Three left halves, two right halves each: the left one that is known decides, and either right one may come."""
    lefts, rights = torch.sign(normal(3, 1, 6, 3, seed=3)), torch.sign(normal(6, 1, 6, 3, seed=4))
    members = torch.cat([lefts.repeat_interleave(2, dim=0), rights], dim=3).float()
    diffusion = made()
    masks = make_masks("half", (6, 6), range(48))
    originals = pixels_of(members[torch.arange(48) % 6])
    found = fill(diffusion, FiniteOracle(diffusion, members), text, originals, masks, range(48))
    assert torch.equal(found[~masks.expand_as(found)], originals[~masks.expand_as(found)])
    same = (found[:, None] == pixels_of(members)[None]).flatten(2).all(dim=2)  # (48, 6)
    assert same.any(dim=1).all()
    member = same.int().argmax(dim=1)
    assert torch.equal(member // 2, torch.arange(48) % 6 // 2)
    assert not torch.equal(member, torch.arange(48) % 6) and len(member.unique()) == 6  # not the original's right half alone


@pytest.mark.parametrize("text", EVERY)
def test_jumps_back_let_the_unknown_follow_the_known(text):
    """Eight members without anything in common: the share of results that are members rises to nearly 1."""
    members = torch.sign(normal(8, 1, 6, 6, seed=3)).float()
    diffusion, count = made(), 96
    originals, masks = pixels_of(members).repeat(12, 1, 1, 1), make_masks("half", (6, 6), range(count))
    network = FiniteOracle(diffusion, members)
    shares = []
    for resampled in (text, f"{text}_r10"):
        found = fill(diffusion, network, resampled, originals, masks, range(count), count)
        shares.append((found == originals).flatten(1).all(dim=1).double().mean().item())
    assert 0.7 < shares[0] < shares[1] and shares[1] > 0.97, shares


@pytest.mark.parametrize("text", [*EVERY, "DDIM_10_1p0_r3"])
def test_what_is_known_is_seen_at_every_step_as_its_own_noising(text):
    """x_t there is signal x_0 + sigma n, n standard normal (RePaint Eq. 8a), drawn anew, and the result is x_0 itself."""
    diffusion, info = made(), SampleInfo.parse(text)
    x_0 = torch.sign(normal(1, 1, 200, 200, seed=5)) * 0.8
    noises, seen = [], []

    def noise_like(x):
        noises.append(torch.randn(x.shape, generator=generator, dtype=x.dtype))
        return noises[-1]

    def network(x_t, t):
        seen.append(t.item())
        torch.testing.assert_close(x_t, diffusion.q_sample(x_0, t, noises[-1]), rtol=1e-12, atol=1e-12)
        return wavy(x_t, t)

    def look(index, t, t_prev, x_t, prediction):
        torch.testing.assert_close(prediction.x_0, x_0, rtol=1e-6, atol=1e-6)

    generator = torch.Generator().manual_seed(2)
    known = Known(x_0, torch.ones(1, 1, 200, 200, dtype=torch.bool), noise_like)
    found = resample(sampling_network(network, diffusion, known=known), diffusion, normal(1, 1, 200, 200), info, scripted(), look)
    torch.testing.assert_close(found, x_0, rtol=1e-6, atol=1e-6)
    jumps = info.walk(diffusion.timestep_pairs(info.steps))
    assert len(seen) == len(noises) == info.network_calls
    assert sorted({t for t, _ in jumps}) == sorted(set(seen))


def test_the_way_back_is_the_forward_process():
    diffusion = made()
    for t_prev, t in ((-1, 0), (3, 60), (60, T - 1)):
        x = diffusion.q_sample(normal(2, 1, 3, 3), t_prev, torch.zeros(2, 1, 3, 3, dtype=torch.float64))
        alone = noised_back(diffusion, x, t_prev, t, torch.zeros_like)
        zero = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
        torch.testing.assert_close(alone, diffusion.q_sample(normal(2, 1, 3, 3), t, zero), rtol=1e-9, atol=1e-12)
        noise = noised_back(diffusion, zero, t_prev, t, torch.ones_like)  # its standard deviation
        kept = diffusion.alpha_bar(t) / diffusion.alpha_bar(t_prev)
        total = kept * (1 - diffusion.alpha_bar(t_prev)) + noise**2
        torch.testing.assert_close(total, torch.full_like(total, 1 - diffusion.alpha_bar(t)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("clip", [True, False, "dynamic"])
@pytest.mark.parametrize("self_condition", [False, True])
def test_only_the_known_estimate_changes(objective, clip, self_condition):
    """Whatever the network emits and however it is clipped; channels of a learned variance stay as they are."""
    diffusion = made(objective, clip_denoised=clip, variance="learned", self_condition=self_condition)
    shown = []

    def network(x, t):
        shown.append(x[:, 1:])
        output = 3 * torch.tanh(x[:, :1] * 0.7)  # x_0 often beyond [-1, 1]
        return torch.cat([output, 0.1 * x[:, :1]], dim=1)

    x_0, mask = torch.linspace(-1, 1, 16, dtype=torch.float64).view(1, 1, 4, 4), make_masks("half", (4, 4), [0])
    x_t, t = normal(1, 1, 4, 4), torch.tensor([90])
    # What the network sees is x_t itself: the noise is the one that leads there.
    known = Known(x_0, mask, lambda x: (x_t - diffusion.alpha_bar(90) ** 0.5 * x_0) / (1 - diffusion.alpha_bar(90)) ** 0.5)
    plain = sampling_network(network, diffusion)(x_t, t)
    wrapped = sampling_network(network, diffusion, known=known)
    output = wrapped(x_t, t)
    torch.testing.assert_close(output[:, 1:], plain[:, 1:], rtol=1e-9, atol=1e-12)
    found, expected = (diffusion.predict(each, x_t, t).x_0 for each in (output, plain))
    torch.testing.assert_close(found, torch.where(known.mask, known.x_0, expected), rtol=1e-9, atol=1e-9)
    if self_condition:
        wrapped(x_t, t)
        torch.testing.assert_close(shown[-1], found.clamp(-1, 1), rtol=1e-9, atol=1e-9)


def test_a_result_depends_on_its_seed_alone():
    members = torch.sign(normal(6, 1, 6, 6, seed=3)).float()
    diffusion = made()
    network, originals, masks = FiniteOracle(diffusion, members), pixels_of(members), make_masks("random", (6, 6), range(6))
    seeds = result_seeds(range(6), 1)
    together = fill(diffusion, network, "DDIM_10_1p0_r2", originals, masks, seeds)
    alone = fill(diffusion, network, "DDIM_10_1p0_r2", originals, masks, seeds, batch_size=1)
    assert torch.equal(together, alone)
    assert len(set(result_seeds(range(5), 4))) == 20 and result_seeds([3, 4], 3)[1::2] == result_seeds([4], 3)


@pytest.mark.parametrize("text", ["DDIM_20_0p0", "DDPM_50_0p0", "DPMPP_20_0p0", "HEUN_10_0p0", "UNIPC_10_0p0"])
def test_editing_with_little_noise_gives_the_picture_back_and_with_all_of_it_another(text):
    members = torch.sign(normal(8, 1, 6, 6, seed=3)).float()
    diffusion = made()
    network, originals = FiniteOracle(diffusion, members), pixels_of(members)
    for strength in (1e-9, 0.01, 0.1):
        assert torch.equal(draw_over(diffusion, network, text, originals, strength, range(8)), originals)
    drawn = draw_over(diffusion, network, text, originals, 1.0, range(8))
    same = (drawn[:, None] == originals[None]).flatten(2).all(dim=2)
    assert same.any(dim=1).all() and not same.diagonal().all()


def test_little_noise_moves_a_picture_by_little_whatever_the_network():
    """One step of noise, taken away by a network that is nobody's: at most sigma_0 (|noise| + |what it thinks is noise|)."""
    diffusion = made()
    x_0 = to_uint8(normal(4, 1, 6, 6, seed=3).clamp(-1, 1))
    found = draw_over(diffusion, wavy, "DDIM_20_0p0", x_0, 1e-9, range(4))
    sigma = (1 - diffusion.alpha_bar(0)) ** 0.5
    assert (to_float(found) - to_float(x_0)).abs().max() < 6 * sigma + 1 / 127.5


def test_the_strength_is_a_share_of_the_steps_of_noise():
    diffusion, info = made(), SampleInfo.parse("DDIM_10_0p0")
    assert [steps_of_noise(strength, 1000) for strength in (1e-9, 0.001, 0.6, 1)] == [1, 1, 600, 1000]
    assert edit_pairs(diffusion, info, 1) == diffusion.timestep_pairs(10)
    assert edit_pairs(diffusion, info, 0.25) == [(49, 39), (39, 19), (19, -1)]


def test_a_sampler_that_jumps_back_is_not_taken_for_one_that_does_not():
    with pytest.raises(ValueError, match="_r3 takes each step 3 times"):
        sample(wavy, made(), normal(1, 1, 2, 2), SampleInfo.parse("DDIM_5_0p0_r3"))


def test_the_shapes_of_masks(tmp_path):
    box, half = make_masks("box", (8, 8), [0, 1]), make_masks("half", (8, 8), [0])
    assert box.shape == (2, 1, 8, 8) and torch.equal(box[0], box[1])
    assert box.sum() == 2 * 16 and box[0, 0, 2:6, 2:6].all()
    assert half.sum() == 32 and half[..., 4:].all()
    random = make_masks("random", (8, 8), [5, 6])
    assert (random.flatten(1).sum(dim=1) == 48).all() and not torch.equal(random[0], random[1])
    assert torch.equal(random[1:], make_masks("random", (8, 8), [6]))
    wide_box, wide_half = make_masks("box", (4, 10), [0]), make_masks("half", (4, 10), [0])
    assert wide_box.shape == (1, 1, 4, 10) and wide_box.sum() == 2 * 5 and wide_box[0, 0, 1:3, 2:7].all()
    assert wide_half.sum() == 4 * 5 and wide_half[..., 5:].all() and make_masks("random", (4, 10), [0]).sum() == 30
    Image.fromarray(np.uint8([[0, 127, 128, 255]] * 4)).save(tmp_path / "grey.png")
    assert make_masks(str(tmp_path / "grey.png"), (4, 4), [0])[0, 0].tolist() == [[False, False, True, True]] * 4


def test_what_is_transparent_in_a_mask_is_kept(tmp_path):
    """A white brush over nothing: the rest is not painted, whatever colour its pixels have there."""
    brush = np.zeros((4, 4), np.uint8)
    brush[:, 2:] = 255
    layers = Image.fromarray(np.stack([np.full((4, 4), 255, np.uint8), brush], axis=2), "LA")
    indexed = Image.fromarray((brush // 255).astype(np.uint8), "P")
    indexed.putpalette([255, 255, 255, 255, 255, 255])
    grey = Image.fromarray(np.where(brush, 255, 200).astype(np.uint8), "L")
    layers.save(tmp_path / "LA.png")
    layers.convert("RGBA").save(tmp_path / "RGBA.png")
    indexed.save(tmp_path / "P.png", transparency=0)
    grey.save(tmp_path / "L.png", transparency=200)
    for mode in ("LA", "RGBA", "P", "L"):
        with Image.open(tmp_path / f"{mode}.png") as picture:
            assert picture.mode == mode
        assert make_masks(str(tmp_path / f"{mode}.png"), (4, 4), [0])[0, 0].tolist() == [[False, False, True, True]] * 4, mode
    soft = Image.merge("LA", [Image.new("L", (4, 4), 255), Image.fromarray(np.uint8([[0, 120, 140, 255]] * 4))])
    soft.save(tmp_path / "soft.png")
    assert make_masks(str(tmp_path / "soft.png"), (4, 4), [0])[0, 0].tolist() == [[False, False, True, True]] * 4
    Image.new("RGBA", (4, 4), (255, 255, 255, 0)).save(tmp_path / "clear.png")
    with pytest.raises(RequestError, match="nothing is to be filled in; a mask is white there, and black or transparent"):
        make_masks(str(tmp_path / "clear.png"), (4, 4), [0])


def test_masks_that_cannot_be(tmp_path):
    for name, value, size in (("black", 0, 4), ("white", 255, 4), ("small", 255, 3)):
        Image.new("L", (size, size), value).save(tmp_path / f"{name}.png")
    (tmp_path / "text.png").write_text("no picture")
    for name, words in {"black": "nothing is to be filled in", "white": "nothing is known", "small": "3 x 3 pixels.*4 x 4",
                        "text": "cannot identify it", "none": "no such file.*box, half, random"}.items():  # fmt: skip
        with pytest.raises(RequestError, match=words) as error:
            make_masks(str(tmp_path / f"{name}.png"), (4, 4), [0])
        assert "\n" not in str(error.value)
    with pytest.raises(RequestError, match="nothing is to be filled in"):
        make_masks("box", (1, 1), [0])
