"""The extractors on another device than the CPU: a GPU of fake tensors, and one that lacks an operation."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from evaluation import efficientnet
from evaluation.extractor import EXTRACTORS, OUTPUTS, Extractor, load_extractor
from tests.evaluation.test_extractors import inception_weights  # noqa: F401

CUDA = torch.device("cuda")


def on_a_fake_gpu(extractor):
    """`extractor` as it is on a GPU; whatever meets a tensor of the CPU's is an error. To be called within a FakeTensorMode."""
    network, own = extractor.network, {}
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        own[name] = torch.empty_like(tensor, device=CUDA)
    extractor.device, extractor.network = CUDA, lambda pictures: functional_call(network, own, (pictures,))
    return extractor


@pytest.mark.parametrize("name", [name for name in EXTRACTORS if name != "clothes"])
@pytest.mark.parametrize("channels, side", [(1, 28), (3, 32)])
def test_nothing_of_an_extractors_meets_a_tensor_of_another_device(name, channels, side, request):
    if name == "inception" and channels == 3:
        pytest.skip("seconds, for what grey pictures show: they become colours")
    if name == efficientnet.NAME and not efficientnet.is_installed():
        pytest.skip("its package is not installed")
    weights = request.getfixturevalue("inception_weights") if name == "inception" else None
    extractor = load_extractor(name, weights)
    seen, pictures = [], np.zeros((3, channels, side, side), dtype=np.uint8)
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = on_a_fake_gpu(extractor).network
        extractor.network = lambda batch: seen.extend([batch, *network(batch)]) or seen[1:]
        features, logits = extractor(pictures, batch_size=4)
    assert {each.device.type for each in seen} == {"cuda"} and len(seen) == 3
    assert features.device.type == logits.device.type == "cpu" and features.shape == (3, OUTPUTS[name].dimension)


def test_the_network_moves_to_the_device_whole():
    with pytest.raises(NotImplementedError, match="meta"):  # no values there; but it went
        load_extractor("digits", device="meta")(np.zeros((1, 1, 28, 28), dtype=np.uint8))


@pytest.mark.parametrize("lacks", [False, True])
def test_where_apples_gpu_lacks_an_operation_the_cpu_extracts(monkeypatch, lacks):
    moved = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: moved.append(torch.device(device).type) or self)
    monkeypatch.setattr(Extractor, "_runs", lambda self: not lacks)
    extractor = load_extractor("digits", device="mps")
    assert moved == (["mps", "cpu"] if lacks else ["mps"]) and extractor.device.type == moved[-1]
