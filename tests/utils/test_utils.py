import json
import os
import signal

import pytest
import torch
from PIL import Image

from training.ema import EMA
from training.run_log import RunLog
from utils.files import atomic_write, put_aside
from utils.pictures import grid, near_square, readable_scale, save_gif, save_png
from utils.seeds import FIRST_WIDE_SEED, PictureNoise, derive_seed, generator, stream_key

CPU = torch.device("cpu")


# --- seeds


def test_seeds_depend_on_every_part_and_on_nothing_else():
    seeds = {
        derive_seed(*parts) for parts in [(0, "a", 1), (0, "a", 2), (1, "a", 1), (0, "b", 1), (0, "a1"), (0, "a", "1")]
    }
    assert len(seeds) == 6 and all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(0, "noise", 5) == 474399549714967166  # the same in every process, on every machine, for ever


def test_a_generator_is_a_function_of_its_parts():
    torch.manual_seed(1)
    first = torch.rand(3, generator=generator("cpu", 0, "noise", 7))
    torch.manual_seed(2)
    assert torch.equal(first, torch.rand(3, generator=generator("cpu", 0, "noise", 7)))


@pytest.mark.parametrize("middle", [6, FIRST_WIDE_SEED, 2**40])
def test_a_picture_meets_the_same_noise_in_any_batch(middle):
    together, alone = PictureNoise([middle - 1, middle, middle + 1]), PictureNoise([middle])
    for _ in range(3):  # every call goes on in each picture's own stream
        many, one = together(torch.empty(3, 1, 4, 4)), alone(torch.empty(1, 1, 4, 4))
        assert torch.equal(many[1:2], one) and not torch.equal(many[0], many[1])


@pytest.mark.parametrize("name", ["picture", "first", "second", "likelihood"])
def test_no_two_of_300_000_seeds_begin_with_the_same_noise(name):
    keys = {stream_key(name, seed) for seed in range(300_000)}
    assert len(keys) == 300_000
    narrow = {derive_seed(name, seed) % 2**32 for seed in range(300_000)}
    assert len(narrow) < 300_000  # what torch's generator keeps of a seed on the CPU: 10 or 11 pairs would be alike


def test_the_key_is_all_of_the_noise_and_its_last_bit_counts():
    assert derive_seed("picture", 54656) % 2**32 == derive_seed("picture", 95876) % 2**32
    first, second, third, *_ = PictureNoise([54656, 95876, 54657, 2**63 - 1])(torch.empty(4, 1, 2, 4))
    assert not torch.equal(first, second) and not torch.equal(first, third)
    seed = FIRST_WIDE_SEED - 1  # torch takes the low 32 bits, so that the key of 32 is the seed of 63
    streams = [torch.Generator().manual_seed(key) for key in (stream_key("picture", seed), derive_seed("picture", seed))]
    torch.testing.assert_close(*(torch.randn(5, generator=stream) for stream in streams), rtol=0, atol=0)


def test_the_seeds_that_pictures_were_published_with_keep_their_noise():
    noise = PictureNoise([FIRST_WIDE_SEED - 1])(torch.empty(1, 1, 2, 2))
    expected = torch.randn(1, 1, 2, 2, generator=generator("cpu", "picture", FIRST_WIDE_SEED - 1))
    torch.testing.assert_close(noise, expected, rtol=0, atol=0)


@pytest.mark.parametrize("first", [0, 10**6])
def test_picture_noise_is_standard_normal(first):
    noise = PictureNoise(range(first, first + 2000))(torch.empty(2000, 1, 4, 4))
    assert abs(noise.mean()) < 0.03 and abs(noise.std() - 1) < 0.03
    assert abs(torch.corrcoef(torch.stack([noise[:-1].flatten(), noise[1:].flatten()]))[0, 1]) < 0.03


# --- EMA


def test_ema_is_the_sum_it_stands_for():
    model = torch.nn.Linear(1, 1, bias=False)
    values = [1.0, 2.0, 4.0, 8.0]
    model.weight.data.fill_(values[0])
    ema, expected = EMA(model, 0.15), values[0]
    for k, value in enumerate(values[1:]):
        model.weight.data.fill_(value)
        ema.update(model, k)
        decay = min(0.15, (1 + k) / (10 + k))
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(ema.model.weight.item(), expected, rtol=1e-6, atol=0)
    assert not ema.model.training and not ema.model.weight.requires_grad


def test_ema_of_decay_0_follows_exactly():
    model = torch.nn.Linear(2, 2)
    ema = EMA(model, 0.0)
    model.weight.data.normal_()
    ema.update(model, 10)
    assert torch.equal(ema.model.weight, model.weight)


# --- files


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "deep" / "file"
    with atomic_write(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(path.parent) == ["file"]


def test_what_is_put_aside_keeps_its_content_under_the_next_number(tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "a.png", tmp_path / "b.png"]
    for round in range(2):
        for path in paths[:2]:
            path.write_text(f"{path.suffix}{round}")
        assert [path.name for path in put_aside(paths)] == [f"a.{round + 1}.json", f"a.{round + 1}.png"]
    assert [(tmp_path / f"a.{number}.json").read_text() for number in (1, 2)] == [".json0", ".json1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.1.json", "a.1.png", "a.2.json", "a.2.png"]


# --- pictures


def test_a_grid_puts_pictures_row_by_row_with_gaps():
    pictures = torch.arange(1, 6, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 2, 3)
    sheet = grid(pictures, 3)
    assert sheet.shape == (1, 2 + 2 * 4, 2 + 3 * 5)
    for i, (y, x) in enumerate([(2, 2), (2, 7), (2, 12), (6, 2), (6, 7)]):
        assert (sheet[0, y : y + 2, x : x + 3] == i + 1).all()
    assert sheet.sum() == 6 * (1 + 2 + 3 + 4 + 5)  # everything else is black


def test_a_grid_for_people_is_enlarged_by_a_whole_factor_pixel_by_pixel():
    pictures = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    assert [readable_scale(torch.empty(1, side, side)) for side in (8, 28, 32, 56, 64)] == [7, 2, 2, 1, 1]
    sheet = grid(pictures, 2, scale=2)
    assert sheet.shape == (1, 2 + 2 * 58, 2 + 2 * 58)
    assert torch.equal(sheet[:, 2:58:2, 2:58:2], pictures[0]) and torch.equal(sheet[:, 3:58:2, 3:58:2], pictures[0])


def test_the_labels_of_rows_stand_at_their_left_and_leave_the_pictures_as_they_are():
    pictures = torch.full((2, 3, 56, 56), 9, dtype=torch.uint8)
    plain, labelled = grid(pictures, 1), grid(pictures, 1, row_labels=["real", ""])
    assert torch.equal(labelled[:, :, -plain.shape[2] :], plain)
    text = labelled[:, :, : -plain.shape[2]]
    assert text[:, :58].max() > 200 and text[:, 60:].max() == 0  # the second row's label is empty


@pytest.mark.parametrize("count, columns", [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (64, 8), (65, 9)])
def test_near_square(count, columns):
    assert near_square(count) == columns


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB")])
def test_png_and_gif_hold_the_pictures(tmp_path, channels, mode):
    pictures = torch.randint(256, (3, channels, 5, 7), dtype=torch.uint8)
    with Image.open(save_png(tmp_path / "a.png", pictures[0])) as image:
        assert image.mode == mode and image.size == (7, 5)
        assert list(image.tobytes()) == pictures[0].permute(1, 2, 0).flatten().tolist()
    with Image.open(save_gif(tmp_path / "a.gif", list(pictures))) as image:
        assert image.n_frames == 3 and image.info["loop"] == 0
        image.seek(2)
        assert image.info["duration"] == 2000



# --- the log


def test_a_continued_log_drops_what_was_written_after_the_checkpoint(tmp_path):
    log = RunLog(tmp_path, 0)
    for step in (10, 20, 30):
        log.scalars(step, {"train": {"loss": step / 10}})
    log.close()
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 35, "lo')  # killed while writing
    log = RunLog(tmp_path, 20)
    log.scalars(30, {"train": {"loss": 9.0}, "pictures": {"clipped": 0.5}}, ["too high"])
    log.pictures(30, torch.zeros(1, 8, 8, dtype=torch.uint8))
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    last = {"step": 30, "loss": 9.0, "clipped": 0.5, "warnings": ["too high"]}
    assert lines == [{"step": 10, "loss": 1.0}, {"step": 20, "loss": 2.0}, last]
    assert os.listdir(tmp_path / "samples") == ["step_000030.png"]


# --- signals


def test_the_first_signal_asks_and_the_second_stops():
    from utils.script import StopSignal

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in signals}
    try:
        for number in signals:
            stop = StopSignal()
            assert stop.number == 0
            os.kill(os.getpid(), number)
            assert stop.number == number
            assert signal.getsignal(signal.SIGINT) == signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # a closed terminal sends it twice
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        stop = StopSignal()
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.number == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
