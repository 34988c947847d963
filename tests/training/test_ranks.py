"""Runs on several processes: the same as on one, and what one of them meets ends all."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.processes import ROOT, TINY, Script, done, refused, run, torchrun, train, wait_for
from tests.training.test_recovery import assert_same_but_for_rounding
from utils.checkpoints import load_checkpoint, load_state
from utils.pictures import read_png, save_png

SMALL = [*TINY, "train.log_every=2", "train.sample_every=3", "train.save_every=2", "train.warmup_steps=2"]
FP32 = "run.precision=fp32"  # where a comparison is to float32 rounding, on CPUs that have bf16 too


def test_the_clock_is_the_same_on_all_ranks(tmp_path):
    options = [
        word
        for setting in [*SMALL, "train.sample_every=1000000", "train.save_minutes=0.000001"]
        for word in ("--set", setting)
    ]
    ends = torchrun(
        2, "train_solver.py", "--data_name", "Mnist_Mini", "--save_dir", tmp_path / "two", "--max_steps", 5, *options
    )
    assert "step_000005.png" in done(ends[0]) and done(ends[1]) == ""
    assert len(os.listdir(tmp_path / "two" / "samples")) > 1


@pytest.mark.parametrize("count", [2, 3])
def test_the_run_is_the_same_on_any_number_of_ranks(tmp_path, count):
    """Its losses are, to float rounding; its timesteps, noise and pictures are those of one process."""
    settings = [*SMALL, FP32, "train.batch_size=5", "diffusion.self_condition=true", "model.dropout=0.2"]
    options = [word for setting in settings for word in ("--set", setting)]
    done(train(tmp_path / "one", "--max_steps", 6, settings=settings))
    ends = torchrun(count, "train_solver.py", "--data_name", "Mnist_Mini", "--save_dir", tmp_path / "many", "--max_steps", 6,
                    *options)  # fmt: skip
    for rank, end in enumerate(ends):
        assert (f"shared by {count} processes" in done(end)) == (rank == 0)  # only the first one speaks
    assert_same_but_for_rounding(tmp_path / "one", tmp_path / "many")
    states = [load_state(tmp_path / name / "trainer_state.pt") for name in ("one", "many")]
    torch.testing.assert_close(states[0]["model"], states[1]["model"], rtol=1e-3, atol=1e-4)
    # One process goes on with what many began, and many with what one began.
    done(train(tmp_path / "many", "--max_steps", 8, settings=settings))
    ends = torchrun(count, "train_solver.py", "--data_name", "Mnist_Mini", "--save_dir", tmp_path / "one", "--max_steps", 8,
                    *options)  # fmt: skip
    assert "Going on from step 6" in done(ends[0])
    assert_same_but_for_rounding(tmp_path / "one", tmp_path / "many")


def test_accumulation_changes_the_memory_and_not_the_run(tmp_path):
    settings = [*SMALL, FP32, "train.batch_size=5", "diffusion.variance=learned", "model.dropout=0.2"]
    done(train(tmp_path / "whole", "--max_steps", 6, settings=settings))
    done(train(tmp_path / "parts", "--max_steps", 6, settings=[*settings, "train.accumulate=3"]))
    assert_same_but_for_rounding(tmp_path / "whole", tmp_path / "parts")


def test_a_rank_that_is_refused_or_dies_takes_the_others_along(tmp_path):
    options = [word for setting in SMALL for word in ("--set", setting)]
    arguments = ["train_solver.py", "--data_name", "Mnist_Mini", "--save_dir", tmp_path / "run", "--max_steps", 100000]
    ends = torchrun(2, *arguments, *options, "--set", "train.batch_size=1")
    refused(ends[0], "too small for 2 processes")
    assert ends[1].returncode == 2
    environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(30_000 + os.getpid() % 20_000)}
    ranks = [
        Script(*arguments, *options, environment={**environment, "RANK": str(i), "LOCAL_RANK": str(i)}) for i in (0, 1)
    ]
    wait_for(lambda: (tmp_path / "run" / "trainer_state.pt").exists())
    ranks[1].kill(signal.SIGKILL)
    begin = time.time()
    end = ranks[0].wait(60)
    assert end.returncode == 1 and time.time() - begin < 20
    refused_words = [line for line in end.stderr.splitlines() if line.startswith("error: ")]
    assert len(refused_words) == 1 and "another process of this run" in refused_words[0]


def test_pictures_are_the_same_files_on_any_number_of_ranks_and_after_a_stop(tmp_path):
    arguments = ["test_solver.py", "--model_path", "checkpoints/mnist_mini.safetensors", "--sample_num", 90, "--batch_size", 16,
                 "--sample_info", "DDIM_2_1p0", "--precision", "fp32", "--save_images", "--save_dir"]  # fmt: skip
    done(run(*arguments, tmp_path / "one"))
    for end in torchrun(3, *arguments, tmp_path / "three"):
        done(end)

    def content(name):
        return {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }

    assert len(content("one")) == 90 + 3 and content("one") == content("three")
    images = tmp_path / "three" / "mnist_mini_DDIM_2_1p0_fp32_images"
    kept = images / "000082.png"
    stamp = kept.stat().st_mtime_ns
    for name in ("000064.png", "000003.png"):
        (images / name).unlink()
    (images / "000079.png").write_bytes(b"torn")
    (tmp_path / "three" / "mnist_mini_DDIM_2_1p0_fp32_n90_final.png").unlink()
    done(run(*arguments, tmp_path / "three"))
    assert content("one") == content("three") and kept.stat().st_mtime_ns == stamp  # a whole batch is not drawn again
    first = images / "000000.png"
    save_png(first, read_png(first), {"drawn_by": "DDIM_2_1p0, ema weights of another training"})
    refused(
        run(*arguments, tmp_path / "three"),
        "was drawn by DDIM_2_1p0, ema weights of another training, not by",
        "cpu in fp32",
    )


def start_torchrun(tmp_path, name, steps, *options):
    words = [
        word for setting in [*SMALL, "train.save_every=1", f"data.cache_dir={tmp_path}"] for word in ("--set", setting)
    ]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
               *options, "train_solver.py", "--data_name", "Mnist_Mini", "--save_dir", tmp_path / name, "--max_steps", steps, *words]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        list(map(str, command)), cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def workers_of(process):
    """The numbers of the processes that torchrun started."""
    listed = subprocess.run(["ps", "--ppid", str(process.pid), "-o", "pid="], capture_output=True, text=True).stdout
    return [int(word) for word in listed.split()]


@pytest.mark.slow
def test_torchrun_comes_back_by_itself_and_stops_when_it_is_told(tmp_path):
    process = start_torchrun(tmp_path, "run", 40, "--max-restarts=3")  # gloo may need more than one to meet again
    wait_for(lambda: (tmp_path / "run" / "trainer_state.previous.pt").exists())
    os.kill(workers_of(process)[1], signal.SIGKILL)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0 and "Going on from step" in output, errors
    assert load_state(tmp_path / "run" / "trainer_state.pt")["step"] == 40

    undisturbed = start_torchrun(tmp_path, "undisturbed", 40)
    undisturbed.communicate(timeout=300)
    first, second = (load_checkpoint(tmp_path / name / "model.safetensors") for name in ("run", "undisturbed"))
    torch.testing.assert_close(first.state_dict, second.state_dict, rtol=0, atol=0)

    process = start_torchrun(tmp_path, "run", 100_000)
    wait_for(lambda: load_state(tmp_path / "run" / "trainer_state.pt")["step"] > 41)
    process.send_signal(signal.SIGTERM)  # as a scheduler does
    output, errors = process.communicate(timeout=60)
    assert "Stopped by signal 15" in output, errors
    assert load_state(tmp_path / "run" / "trainer_state.pt")["step"] > 41
