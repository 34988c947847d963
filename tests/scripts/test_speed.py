"""What is done for speed changes no picture, and says what it cannot do."""

import copy
import threading

import pytest
import torch

from diffusion import SampleInfo, build_diffusion
from modes.model import load_model
from sampling.drawing import Frames, draw
from tests.processes import TINY, done, refused, run, train
from tests.small_training import advance, make_trainer
from training.run_folder import write_snapshot
from utils.background import Background
from utils.checkpoints import STATE_FILE, load_checkpoint, load_state
from utils.device import pick_channels_last, pick_device
from utils.errors import RequestError
from utils.pictures import read_png, save_png, save_pngs
from utils.precision import pick_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SHIPPED = "checkpoints/mnist_mini.safetensors"


# --- precision, memory format, compilation


@pytest.mark.parametrize(
    "flags, expected", [({}, "fp32"), ({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True, "avx2": True}, "bf16")]
)
def test_bf16_on_the_cpus_that_have_it(monkeypatch, flags, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    assert pick_precision("auto", CPU) == expected
    assert pick_precision("bf16", CPU) == "bf16" and pick_precision("fp32", CPU) == "fp32"


@pytest.mark.parametrize(
    "cuda, mps, expected", [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu"), (True, False, "cuda")]
)
def test_auto_takes_cuda_then_apples_gpu_then_the_cpu(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device("auto") == torch.device(expected) and pick_device("cpu") == CPU
    for name, there in (("cuda", cuda), ("mps", mps)):
        if not there:
            with pytest.raises(RequestError, match=f"--device {name}: PyTorch sees no .*; use --device cpu or auto"):
                pick_device(name)
    assert pick_precision("auto", torch.device("mps")) == "fp32"


def test_channels_last_draws_the_same_pictures():
    chosen = [(CPU, "fp32", False), (CPU, "fp32", True), (CPU, "bf16", False), (CUDA, "fp32", False)]
    found = [pick_channels_last("auto", *how, training=training) for *how, training in chosen]
    assert found == [True, False, False, False]
    for training in (False, True):
        assert [pick_channels_last("auto", CUDA, name, training=training) for name in ("bf16", "fp16")] == [True, True]
    trained = load_model(SHIPPED, device=CPU, precision="fp32").trained
    assert trained.model.middle_block[0].conv2[3].weight.is_contiguous(memory_format=torch.channels_last)
    x, t = torch.randn(2, 1, 28, 28), torch.tensor([10, 900])
    with torch.no_grad():
        lasting = trained.network(x, t)
        first = trained.model.to(memory_format=torch.contiguous_format)(x, t)
    torch.testing.assert_close(lasting, first, rtol=1e-4, atol=1e-5)


def test_channels_last_in_training_is_saved_and_gone_on_with(tmp_path):
    options = [*TINY, "run.channels_last=true"]
    done(train(tmp_path / "a", "--max_steps", 4, settings=options))
    done(train(tmp_path / "b", "--max_steps", 2, settings=options))
    done(train(tmp_path / "b", "--max_steps", 4, settings=options))
    weights = [load_checkpoint(tmp_path / name / "model.safetensors").state_dict for name in "ab"]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=0)


# --- drawing


class SmallDevice:
    """A network on a device that has memory for `most` pictures."""

    def __init__(self, most: int):
        self.most, self.seen = most, []

    def __call__(self, x, t):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.seen.append(len(x))
        return 0.5 * x


@pytest.mark.parametrize("text", ["DDIM_4_1p0", "DDPM_4_0p0"])
def test_a_batch_that_does_not_fit_is_halved_and_the_pictures_stay(text):
    diffusion = build_diffusion(timestep_num=20, beta_schedule="cosine")
    info, seeds = SampleInfo.parse(text), range(5, 12)
    whole, small = SmallDevice(100), SmallDevice(2)
    frames = {device: Frames([0, 1, 2, 4], 3) for device in (whole, small)}
    drawn = {}
    for device in (whole, small):
        drawn[device] = draw(device, diffusion, info, seeds, (1, 4, 4), CPU, frames[device])
        frames[device].finish(drawn[device])
    assert set(whole.seen) == {7} and set(small.seen) == {2, 1}
    torch.testing.assert_close(drawn[whole], drawn[small], rtol=0, atol=0)
    for one, other in zip(frames[whole].pictures(), frames[small].pictures()):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
        assert len(one) == 3


def test_one_picture_that_does_not_fit_is_one_line():
    diffusion = build_diffusion(timestep_num=20, beta_schedule="cosine")
    with pytest.raises(RequestError, match="too little memory to draw 1 pictures"):
        draw(SmallDevice(0), diffusion, SampleInfo.parse("DDIM_4_0p0"), range(4), (1, 4, 4), CPU)


def test_steps_of_one_t_need_no_tensor_from_the_cpu(monkeypatch):
    """Else every step of DDPM would wait for the device: `as_tensor` and `tensor` are what would copy there."""
    diffusion = build_diffusion(timestep_num=20, beta_schedule="cosine", variance="fixed_large")
    x = torch.randn(2, 1, 4, 4)
    t, t_prev = torch.tensor([15, 15]), torch.tensor([9, 9])
    expected = [diffusion.log_variance(x, t, t_prev), diffusion.posterior(x, x, t, t_prev)[1]]
    expected_last = diffusion.log_variance(x, torch.tensor([0, 0]), torch.tensor([-1, -1]))
    for name in ("as_tensor", "tensor"):
        monkeypatch.setattr(torch, name, lambda *_, **__: pytest.fail("a tensor was made on the CPU"))
    found = [diffusion.log_variance(x, 15, 9), diffusion.posterior(x, x, 15, 9)[1]]
    for one, other in zip(found, expected):
        torch.testing.assert_close(one.expand(2), other.flatten(), rtol=1e-6, atol=0)
    torch.testing.assert_close(diffusion.log_variance(x, 0, -1).expand(2), expected_last.flatten(), rtol=1e-6, atol=0)


# --- what is written meanwhile


def test_pictures_are_there_when_the_background_ends(tmp_path):
    pictures = torch.randint(0, 256, (6, 3, 5, 4), dtype=torch.uint8)
    with Background() as writing:
        for batch in (range(3), range(3, 6)):
            writing.do(save_pngs, [(tmp_path / "images" / f"{i}.png", pictures[i], {"drawn_by": "a test"}) for i in batch])
    for i, picture in enumerate(pictures):
        torch.testing.assert_close(read_png(tmp_path / "images" / f"{i}.png"), picture, rtol=0, atol=0)


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    picture = torch.zeros(1, 2, 2, dtype=torch.uint8)
    with pytest.raises(RequestError, match="cannot write .*file/0.png"), Background() as writing:
        writing.do(save_png, tmp_path / "file" / "0.png", picture)
    with Background() as writing:
        writing.do(save_png, tmp_path / "file" / "0.png", picture)
        with pytest.raises(RequestError, match="cannot write .*file/0.png"):
            writing.do(save_png, tmp_path / "0.png", picture)


def test_a_state_saved_meanwhile_is_of_the_step_it_was_taken_at(tmp_path):
    """The training goes on, and changes the very tensors that are being written."""
    trainer = make_trainer()
    advance(trainer, 2)
    written = threading.Event()

    def write_later(state):
        written.wait(60)
        write_snapshot(state, tmp_path)

    with Background() as saving:
        saving.do(write_later, trainer.snapshot())
        expected = copy.deepcopy(
            (trainer.model.state_dict(), trainer.optimizer.state_dict(), trainer.monitor.state_dict())
        )
        advance(trainer, 3)
        assert not (tmp_path / STATE_FILE).exists()
        written.set()
    state = load_state(tmp_path / STATE_FILE)
    assert state["step"] == 2
    torch.testing.assert_close((state["model"], state["optimizer"], state["monitor"]), expected, rtol=0, atol=0)


def test_compile_belongs_to_random_gen(tmp_path):
    refused(run("test_solver.py", "--model_path", SHIPPED, "--test_mode", "interpolate", "--compile", "no",
                "--save_dir", tmp_path), "--compile", "random_gen")  # fmt: skip
