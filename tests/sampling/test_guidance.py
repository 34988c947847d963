"""Classes that are asked for and classifier-free guidance, beside what is known in closed form."""

import math

import pytest
import torch

from diffusion import SAMPLERS, GaussianDiffusion, Guidance, SampleInfo, encode, make_betas, sample
from diffusion.objectives import OBJECTIVES
from models import build_model
from sampling.drawing import draw
from sampling.network import sampling_network, training_network
from tests.diffusion.test_samplers import normal, scripted
from tests.models.test_models import SMALL
from tests.oracles import FiniteOracle, GaussianOracle, LabelledOracle, MixtureOracle

T = 200
CPU = torch.device("cpu")


def mixture(objective="pred_noise", clip=False):
    """Two classes: pixels N(-0.5, 0.2^2) and N(0.5, 0.2^2)."""
    diffusion = GaussianDiffusion(make_betas("cosine", T), objective=objective, clip_denoised=clip)
    classes = [GaussianOracle(diffusion, mean, 0.2) for mean in (-0.5, 0.5)]
    return diffusion, LabelledOracle(classes, MixtureOracle(diffusion, [-0.5, 0.5], 0.2))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 1.5, 4.0])
def test_the_guided_estimate_of_a_mixture_of_two_gaussians(objective, scale):
    """In the noise it is sigma times minus the score of p(x)^(1 - s) p(x | y)^s, differentiated by hand; for each objective."""
    diffusion, network = mixture(objective)
    x_t, labels = normal(6, 1, 1, 1), torch.tensor([0, 1, 0, 1, 0, 1])
    for t in (3, 60, 150):
        times = torch.full((6,), t)
        guided = sampling_network(network, diffusion, labels=labels, num_classes=2, guidance=Guidance(scale))
        found = diffusion.predict(guided(x_t, times), x_t, t).noise
        signal, sigma = diffusion.alpha_bar(t) ** 0.5, (1 - diffusion.alpha_bar(t)) ** 0.5
        x = x_t.clone().requires_grad_()
        variance = signal**2 * 0.2**2 + sigma**2
        logs = torch.stack([-((x - signal * mean) ** 2) / (2 * variance) for mean in (-0.5, 0.5)])  # (2, B, 1, 1, 1)
        of_class = logs.gather(0, labels.view(1, 6, 1, 1, 1))[0]
        density = (1 - scale) * (logs.logsumexp(dim=0) - math.log(2)) + scale * of_class
        (score,) = torch.autograd.grad(density.sum(), x)
        torch.testing.assert_close(found, -sigma * score, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("text", ["DDPM_50_0p0", "DDIM_20_0p0", "DDIM_20_1p0", "DPMPP_20_0p0", "HEUN_10_0p0", "UNIPC_10_0p0"])
@pytest.mark.parametrize("guidance", ["", "_cfg1p5", "_cfg3p0t50t150"])
def test_an_exact_network_ends_on_a_member_of_the_class_asked_for(text, guidance):
    diffusion = GaussianDiffusion(make_betas("cosine", T))
    members = torch.sign(normal(6, 1, 4, 4, seed=3))
    classes = [members[0:2], members[2:4], members[4:6]]
    network = LabelledOracle([FiniteOracle(diffusion, each) for each in classes], FiniteOracle(diffusion, members))
    labels = torch.arange(12) % 3
    info = SampleInfo.parse(text + guidance)
    wrapped = sampling_network(network, diffusion, labels=labels, num_classes=3, guidance=info.guidance)
    found = sample(wrapped, diffusion, normal(12, 1, 4, 4), info, noise_like=scripted())
    nearest = (found[:, None] - members[None]).abs().amax(dim=(2, 3, 4)).min(dim=1)
    assert nearest.values.max() < 1e-3
    assert torch.equal(nearest.indices // 2, labels)


def trained_like(num_classes, **options):
    """A network with weights that say something, in evaluation mode."""
    torch.manual_seed(0)
    model = build_model(**SMALL, num_classes=num_classes, **options).eval()
    for parameter in model.parameters():
        if parameter.count_nonzero() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def test_a_scale_of_1_is_the_conditional_network_bit_for_bit_and_calls_it_once():
    model, diffusion = trained_like(4), GaussianDiffusion(make_betas("cosine", T))
    batches = []

    def network(x_t, t, y=None):
        batches.append(len(x_t))
        return model(x_t, t, y)

    x_t, t, labels = torch.randn(3, 3, 16, 16), torch.full((3,), 50), torch.tensor([0, 3, 4])
    with torch.no_grad():
        plain = sampling_network(network, diffusion, labels=labels, num_classes=4)(x_t, t)
        assert torch.equal(plain, model(x_t, t, labels))
        guidance = Guidance(2.0, (60, 100))
        outside = sampling_network(network, diffusion, labels=labels, num_classes=4, guidance=guidance)
        assert torch.equal(outside(x_t, t), plain)
        assert batches == [3, 3]
        guided = outside(x_t, torch.full((3,), 60))
        assert batches == [3, 3, 6]
        without = model(x_t, torch.full((3,), 60), torch.tensor([4, 4, 4]))
        # The null label leaves nothing to guide.
        torch.testing.assert_close(guided[2], without[2], rtol=1e-4, atol=1e-5)
        expected = without + 2.0 * (model(x_t, torch.full((3,), 60), labels) - without)
        torch.testing.assert_close(guided, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("self_condition", [False, True])
def test_only_the_estimate_is_guided_and_the_guided_one_is_shown(self_condition):
    diffusion = GaussianDiffusion(
        make_betas("cosine", T), objective="pred_x0", variance="learned", self_condition=self_condition
    )
    seen = []

    def network(x, t, y):
        seen.append(x)
        value = 0.1 * (y + 1).to(x.dtype).view(-1, 1, 1, 1)
        return torch.cat([value * torch.ones_like(x[:, :1]), 10 * value * torch.ones_like(x[:, :1])], dim=1)

    labels = torch.tensor([0, 1])
    guided = sampling_network(network, diffusion, labels=labels, num_classes=2, guidance=Guidance(3.0))
    x_t, t = torch.randn(2, 1, 2, 2), torch.tensor([50, 50])
    output = guided(x_t, t)
    # Conditional 0.1 and 0.2, unconditional 0.3: 0.3 + 3 (0.1 - 0.3) and 0.3 + 3 (0.2 - 0.3); the variances are the conditional ones'.
    torch.testing.assert_close(output[:, 0, 0, 0], torch.tensor([-0.3, 0.0]))
    torch.testing.assert_close(output[:, 1, 0, 0], torch.tensor([1.0, 2.0]))
    guided(x_t, t)
    if self_condition:
        shown = torch.cat([output[:, :1], output[:, :1]])
        torch.testing.assert_close(seen[1][:, 1:], shown)
        assert not seen[0][:, 1:].any()
    assert all(len(x) == 4 for x in seen)


def test_guidance_without_classes_is_refused():
    diffusion = GaussianDiffusion(make_betas("cosine", T))
    with pytest.raises(ValueError, match="needs a network with classes"):
        sampling_network(lambda x_t, t: x_t, diffusion, guidance=Guidance(2.0))
    with pytest.raises(ValueError, match="without classes"):
        trained_like(0)(torch.zeros(1, 3, 16, 16), torch.zeros(1, dtype=torch.long), torch.tensor([0]))


@pytest.mark.parametrize("clip", [False, True, "dynamic"])
def test_what_is_shown_lies_in_the_range_of_pictures_whatever_is_clipped(clip):
    """Trained and drawn from: noise of 5 at the noisiest t reads as an x_0 of thousands."""
    diffusion = GaussianDiffusion(make_betas("cosine", 1000), clip_denoised=clip, self_condition=True)
    seen = []

    def network(x, t):
        seen.append(x[:, 1:])
        return 5 + 0 * x[:, :1]

    x_t, t = torch.randn(2, 1, 4, 4), torch.tensor([999, 999])
    wrapped = sampling_network(network, diffusion)
    wrapped(x_t, t)
    wrapped(x_t, t)
    training_network(network, diffusion, with_estimate=True)(x_t, t)
    assert [shown.abs().max().item() > 0.1 for shown in seen] == [False, True, False, True]
    assert max(shown.abs().max().item() for shown in seen) <= 1


@pytest.mark.parametrize("text", [f"{method}_5_0p0{cfg}" for method in SAMPLERS for cfg in ("", "_cfg2p0", "_cfg2p0t20t120")])
def test_a_picture_of_a_seed_and_label_is_the_same_in_any_batch(text):
    model, diffusion = trained_like(3).double(), GaussianDiffusion(make_betas("cosine", T), objective="pred_x0")
    info, seeds, labels = SampleInfo.parse(text), list(range(8)), [0, 1, 2, 3, 0, 1, 2, 3]

    def network(x_t, t, y):
        return model(x_t.double(), t, y).float()

    def drawn(size):
        parts = [slice(i, i + size) for i in range(0, 8, size)]
        return torch.cat(
            [draw(network, diffusion, info, seeds[p], (3, 16, 16), CPU, labels=labels[p], num_classes=3) for p in parts]
        )

    whole = drawn(8)
    assert torch.equal(drawn(2), whole) and torch.equal(drawn(1), whole)
    assert not torch.equal(draw(network, diffusion, info, [0], (3, 16, 16), CPU, labels=[1], num_classes=3), whole[:1])


def test_encoding_with_labels_leads_back_to_the_picture():
    diffusion, network = mixture("pred_v")
    labels, x_0 = torch.tensor([0, 1, 1]), torch.tensor([-0.6, 0.3, 0.9], dtype=torch.float64).view(3, 1, 1, 1)
    pairs = diffusion.timestep_pairs(T)

    def wrapped():
        return sampling_network(network, diffusion, labels=labels, num_classes=2, guidance=Guidance(1.5, (0, 100)))

    latents = encode(wrapped(), diffusion, x_0, pairs)
    again = sample(wrapped(), diffusion, latents, SampleInfo("DDIM", T, 0.0), pairs=pairs)
    torch.testing.assert_close(again, x_0, rtol=0, atol=0.05)


@pytest.mark.parametrize("objective", ["pred_x0", "pred_edm"])
@pytest.mark.parametrize("variance", ["fixed_small", "learned"])
@pytest.mark.parametrize("self_condition", [False, True])
def test_estimates_that_may_overshoot_are_clipped_before_they_are_guided(objective, variance, self_condition):
    """Unconditional -3, which means -1, and conditional -0.5: guided by 1.5 that is -0.25, and not +0.75."""
    options = {"loss_of_clipped": True, "variance": variance, "self_condition": self_condition}
    diffusion = GaussianDiffusion(make_betas("cosine", T), objective=objective, **options)

    def network(x, t, y):
        x_t = x[:, :1]
        x_0 = torch.where(y.view(-1, 1, 1, 1) == 0, -0.5, -3.0).to(x.dtype).expand_as(x_t)
        output = diffusion.output_for(x_0, x_t, t)
        return output if variance == "fixed_small" else torch.cat([output, 0.7 + 0 * output], dim=1)

    labels = torch.tensor([0, 0])
    guided = sampling_network(network, diffusion, labels=labels, num_classes=1, guidance=Guidance(1.5))
    x_t, t = normal(2, 1, 2, 2), torch.tensor([50, 50])
    output = guided(x_t, t)
    found = diffusion.predict(output, x_t, t, clip=False).x_0
    torch.testing.assert_close(found, torch.full_like(found, -0.25), rtol=1e-9, atol=1e-9)
    assert output.shape[1] == (1 if variance == "fixed_small" else 2)
