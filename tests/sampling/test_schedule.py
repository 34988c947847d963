"""Timesteps learned for a model: the search, what it gains on data whose flow is known, and the program as a user runs it."""

from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from diffusion import SampleInfo, build_diffusion, sample
from sampling.schedule import Discretisation, learn_times, read_sampler, tune
from tests.oracles import MixtureOracle
from tests.processes import TINY, done, refused, run, train
from utils.checkpoints import load_checkpoint
from utils.config import load_settings
from utils.errors import RequestError


@pytest.mark.parametrize("start", [[999, 749, 499, 249], [999, 3, 2, 1], [999, 998, 997, 996]])
def test_the_search_finds_the_least_of_a_bowl_and_asks_for_no_choice_twice(start):
    wanted, asked = [999, 930, 410, 17], []

    def error(times):
        assert times[0] == 999 and all(t > following for t, following in zip(times, [*times[1:], -1]))
        asked.append(tuple(times))
        return sum((t - other) ** 2 for t, other in zip(times, wanted))

    found = learn_times(error, start)
    assert len(asked) == len(set(asked))
    assert error(found) <= error(start) and max(abs(t - other) for t, other in zip(found, wanted)) < 120


def test_neighbours_leave_no_room_and_one_step_has_nothing_to_choose():
    assert learn_times(lambda times: sum(times), [3, 2, 1, 0]) == [3, 2, 1, 0]
    assert learn_times(lambda times: 0.0, [9]) == [9]


def model_of(objective="pred_v"):
    """What `tune` takes of a `Trained`: the exact network of pixels that are of two kinds."""
    diffusion = build_diffusion(timestep_num=200, beta_schedule="cosine", objective=objective, clip_denoised=False)
    return SimpleNamespace(
        network=MixtureOracle(diffusion, [-0.7, 0.6], 0.1), diffusion=diffusion, shape=(1, 2, 2), num_classes=0, batch_size=100,
        device=torch.device("cpu"), labels_of=lambda seeds: None, student=None,
    )  # fmt: skip


def test_learned_timesteps_lead_nearer_to_the_solution_for_other_noise_too(capsys):
    model, info = model_of(), SampleInfo.parse("DPMPP_4_0p0")
    times = tune(model, info, 20)
    info.check_times(times, 200)
    others = Discretisation(model, info, range(200))
    named = [others.error([t for t, _ in model.diffusion.timestep_pairs(4, name)]) for name in ("uniform", "quad", "logsnr", "karras")]
    assert others.error(times) < 0.9 * min(named), (times, named)
    printed = capsys.readouterr().out
    assert str(times)[1:-1] in printed and "tuned 0.0" in printed


def test_a_sampler_walks_the_timesteps_that_its_model_holds():
    diffusion = build_diffusion(
        timestep_num=200, beta_schedule="cosine", objective="pred_v", tuned_times={"DDIM_3_0p0_cfg1p5": [199, 90, 4]}
    )
    pairs = [(199, 90), (90, 4), (4, -1)]
    for text in ("DDIM_3_0p0_tuned_cfg1p5", "ddim_3_0p0_TUNED_cfg1p50_r4"):
        info = SampleInfo.parse(text)
        assert info.pairs_on(diffusion) == pairs and info.tuned_for == "DDIM_3_0p0_cfg1p5"
    assert str(SampleInfo.parse("ddim_3_0p0_tuned_cfg1p50")) == "DDIM_3_0p0_tuned_cfg1p5"
    told = []
    info = SampleInfo.parse("DDIM_3_0p0_tuned_cfg1p5")
    sample(lambda x, t: x, diffusion, torch.zeros(1, 1, 2, 2), info, callback=lambda *step: told.append(step[1:3]))
    assert told == pairs
    with pytest.raises(ValueError, match="no timesteps were tuned for DDIM_3_0p0; there are those of DDIM_3_0p0_cfg1p5"):
        SampleInfo.parse("DDIM_3_0p0_tuned").pairs_on(diffusion)


@pytest.mark.parametrize(
    "text, words",
    [
        ("DPMPP_6_1p0", "adds noise"),
        ("DDPM_6", "adds noise"),
        ("DPMPP_6_0p0_quad", "say DPMPP_6_0p0"),
        ("DPMPP_6_0p0_r3", "say DPMPP_6_0p0"),
        ("DPMPP_1", "no timesteps to choose"),
        ("DPMPP_201", "1 to the 200"),
        ("DPMPP_6_cfg1p5", "without classes"),
        ("DPMPP", "METHOD_STEPS"),
    ],
)
def test_what_cannot_be_tuned(text, words):
    with pytest.raises(RequestError, match=words):
        read_sampler(text, model_of())
    assert str(read_sampler("unipc_8", model_of())) == "UNIPC_8_0p0"


@pytest.mark.parametrize(
    "name, times", [("DDIM_3_0p0", [999, 5]), ("DDIM_3_0p0", [998, 5, 2]), ("DDIM_3_0p0", [999, 5, 5]), ("DDIM_3_0p0", [999, 5, -1]),
                    ("DDIM_2_0p0", [999, 2000])]
)  # fmt: skip
def test_timesteps_from_a_file_are_checked(name, times):
    with pytest.raises(RequestError, match="the tuned times of DDIM_. *"):
        load_settings("config.yaml", "Mnist_Mini", [f"sample.tuned_times={{{name}: {times}}}"])


def test_as_a_user_runs_it(tmp_path):
    done(train(tmp_path / "run", "--max_steps", "1", settings=[*TINY, "model.num_classes=0"]))
    model, tuned = tmp_path / "run/model.safetensors", tmp_path / "tuned.safetensors"
    before = model.read_bytes()
    printed = done(run("sampling/schedule.py", model, "DPMPP_2", "--seeds", "2", "--out", tuned))
    assert model.read_bytes() == before and "draw with DPMPP_2_0p0_tuned" in printed
    done(run("sampling/schedule.py", tuned, "DDIM_3_0p0", "--seeds", "2"))  # beside the first, into the file itself
    checkpoint = load_checkpoint(tuned)
    assert set(checkpoint.settings.sample.tuned_times) == {"DPMPP_2_0p0", "DDIM_3_0p0"}
    with safe_open(model, "pt") as old, safe_open(tuned, "pt") as new:
        assert {k: v for k, v in old.metadata().items() if k != "settings"} == {
            k: v for k, v in new.metadata().items() if k != "settings"
        }
        assert all(torch.equal(old.get_tensor(name), new.get_tensor(name)) for name in new.keys())  # noqa: SIM118

    def draw(path, sampler):
        options = ["--sample_info", sampler, "--sample_num", "2", "--save_images", "--save_dir", tmp_path / "drawn"]
        return run("test_solver.py", "--model_path", path, *options)

    done(draw(tuned, "DPMPP_2_0p0_tuned"))
    assert list((tmp_path / "drawn").glob("tuned_DPMPP_2_0p0_tuned*_final.png"))
    refused(draw(model, "DPMPP_2_0p0_tuned"), "no timesteps were tuned for DPMPP_2_0p0", "python -m sampling.schedule")
    refused(run("sampling/schedule.py", tmp_path / "run/trainer_state.pt", "DPMPP_2"), "name its model.safetensors")
