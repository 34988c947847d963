"""A teacher, and students distilled from it, trained and drawn from as a user does."""

import pytest
import torch

from tests.processes import TINY, done, refused, run, torchrun, train
from tests.small_training import weights_of
from utils.checkpoints import load_checkpoint, write_checkpoint
from utils.classes import Classes

CONDITIONAL = [*TINY[:-2], "model.num_classes=10", "run.precision=fp32", "train.save_minutes=null"]
TEACHER = [*CONDITIONAL, "sample.sample_info=DDIM_2_0p0"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    done(train(folder, "--max_steps", "2", settings=TEACHER))
    return folder / "model.safetensors"


def distilled(folder, teacher, *words, kind="consistency", settings=()):
    """A student's training: of its network it is told nothing."""
    own = [f"train.teacher={teacher}", f"train.student={kind}", "train.batch_size=4", "sample.sample_num=4", "run.precision=fp32"]
    return train(folder, *words, settings=[*own, "train.save_minutes=null", *settings])


STAGES = ["train.train_epoch=0.003"]  # 6 steps: the jumps become shorter twice or more
GUIDED = "train.teacher_guidance=cfg1p5t200t999"


@pytest.fixture(scope="module")
def student(teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    output = done(distilled(folder, teacher, "--max_steps", "4", settings=[*STAGES, GUIDED]))
    assert f"Teacher: {teacher}, step 2, guided as by cfg1p5t200t999" in output
    return folder


def test_a_student_has_its_teachers_network_and_a_sampler_of_its_own(teacher, student):
    of_teacher, of_student = (load_checkpoint(path).settings for path in (teacher, student / "model.safetensors"))
    assert of_student.model == of_teacher.model
    assert of_student.diffusion == of_teacher.diffusion.model_copy(update={"loss_type": "picture_huber"})
    assert of_student.sample.sample_info == "CM_4_0p0"


@pytest.mark.parametrize("kind", ["consistency", "consistency_training"])
def test_going_on_is_exact(teacher, student, tmp_path, kind):
    at_once, settings = student, [*STAGES, GUIDED]
    if kind != "consistency":
        at_once, settings = tmp_path / "at_once", STAGES
        assert "guided" not in done(distilled(at_once, teacher, "--max_steps", "4", kind=kind, settings=settings))
    for steps in ("2", "4"):
        done(distilled(tmp_path / "parts", teacher, "--max_steps", steps, kind=kind, settings=settings))
    torch.testing.assert_close(weights_of(tmp_path / "parts"), weights_of(at_once), rtol=0, atol=0)


def test_its_configuration_trains_it_again(teacher, tmp_path):
    own = ["diffusion.loss_type=huber", GUIDED, "sample.sample_info=CM_2_0p0", "model.dropout=0.1"]
    done(distilled(tmp_path / "run", teacher, "--max_steps", "1", settings=own))
    config = tmp_path / "run/config.yaml"
    done(run("train_solver.py", "--config", config, "--data_name", "Mnist_Mini", "--save_dir", tmp_path / "again"))
    first, again = ((tmp_path / name / "config.yaml").read_text() for name in ("run", "again"))
    assert first.replace(str(tmp_path / "run"), str(tmp_path / "again")) == again and "CM_2_0p0" in again and "huber" in again


def test_two_ranks_learn_the_same(teacher, tmp_path):
    overrides = [f"train.teacher={teacher}", "train.student=consistency", "train.batch_size=4", "sample.sample_num=4",
                 "run.precision=fp32", "train.save_minutes=null", "train.optimizer=adam"]  # fmt: skip
    words = [word for setting in overrides for word in ("--set", setting)]
    for process in torchrun(
        2, "train_solver.py", "--data_name", "Mnist_Mini", "--save_dir", str(tmp_path), "--max_steps", "1", *words
    ):
        done(process)
    alone = tmp_path / "alone"
    done(distilled(alone, teacher, "--max_steps", "1", settings=["train.optimizer=adam"]))
    # The first moments are a tenth of the gradients, which are summed in another order.
    found, expected = (
        [state["exp_avg"] for state in weights_of(folder)["optimizer"]["state"].values()] for folder in (tmp_path, alone)
    )
    assert max(each.abs().max() for each in expected) > 1e-4
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-7)


def test_another_teacher_is_refused(teacher, student, tmp_path):
    other = tmp_path / "other"
    done(train(other, "--max_steps", "1", settings=TEACHER))
    path = tmp_path / "teacher.safetensors"
    path.write_bytes(teacher.read_bytes())
    done(distilled(tmp_path / "run", path, "--max_steps", "1"))
    path.write_bytes((other / "model.safetensors").read_bytes())
    refused(distilled(tmp_path / "run", path, "--max_steps", "2"), "the teacher, or train.teacher_guidance, is not the one that")
    refused(distilled(student, teacher, settings=["train.student_steps=2"]), "train.student_steps: 1 -> 2", "choose another --save_dir")


def draw(student, folder, *words):
    return run("test_solver.py", "--model_path", student / "model.safetensors", "--save_dir", folder, "--sample_num", "2", *words)


def test_what_it_draws_and_what_not(student, tmp_path):
    for sampler in ("CM_1_0p0", "CM_2_0p0"):
        done(draw(student, tmp_path, "--sample_info", sampler, "--test_mode", "random_gen", "interpolate"))
        assert len(list(tmp_path.glob(f"*_{sampler}_*final.png"))) == len(list(tmp_path.glob(f"*_{sampler}_*interpolate.png"))) == 1
    refused(draw(student, tmp_path, "--sample_info", "DDIM_4_0p0"), "DDIM_4_0p0 cannot draw from a student", "CM_4_0p0")
    refused(draw(student, tmp_path, "--sample_info", "CM_2_0p0_cfg1p5"), "leave _cfg out")
    for mode in ("likelihood", "reconstruct"):
        refused(draw(student, tmp_path, "--test_mode", mode), f"--test_mode {mode}", "take its teacher")


def test_a_student_of_several_steps_draws_with_them_alone(teacher, tmp_path):
    done(distilled(tmp_path, teacher, "--max_steps", "1", settings=["train.student_steps=3"]))
    done(draw(tmp_path, tmp_path / "drawn"))
    assert list((tmp_path / "drawn").glob("*_DDIM_3_0p0_*final.png"))
    refused(draw(tmp_path, tmp_path / "drawn", "--sample_info", "CM_3_0p0"), "it takes DDIM_3_0p0")


def test_a_student_beside_its_teacher(teacher, student, tmp_path):
    """Each by its own samplers: a cell that cannot be drawn is left out, a checkpoint without any is refused."""
    models = ["--model_path", teacher, student / "model.safetensors", "--test_mode", "compare", "--sample_num", "8"]
    done(run("test_solver.py", *models, "--save_dir", tmp_path, "--sample_info", "DDIM_2_0p0", "CM_1_0p0"))
    rows = (tmp_path / "compare_table.md").read_text().splitlines()
    names = [tuple(cell.strip() for cell in row.split("|")[1:3]) for row in rows[2:] if row.startswith("|")]
    assert names[:2] == [(teacher.parent.name, "DDIM_2_0p0"), (student.name, "CM_1_0p0")]
    refused(run("test_solver.py", *models, "--save_dir", tmp_path, "--sample_info", "DDIM_2_0p0"), "cannot draw from a student")
    refused(run("test_solver.py", *models, "--save_dir", tmp_path, "--sample_info", "CM_1_0p0"), "draws from a student")


def test_a_teacher_of_other_classes(tmp_path):
    """As many classes, but others: its digits would be shown as groups of emoji. The pictures alone may teach that."""
    digits = "checkpoints/mnist_mini.safetensors"
    differs = f"class 0 of {digits} (trained on Mnist_Mini) is '0', and of Emoji 'Activities'"
    asked = ["train_solver.py", "--data_name", "Emoji", "--dry_run", "--save_dir", tmp_path / "run"]
    for kind in ("consistency", "consistency_training"):
        student = ["--set", f"train.teacher={digits}", "--set", f"train.student={kind}"]
        refused(run(*asked, *student), differs, "name the teacher's data")
    assert f"Note:    run.start_from: {differs}" in done(run(*asked, "--start_from", digits))
    assert "Note:" not in done(run(*asked, "--start_from", "checkpoints/emoji.safetensors"))
    asked[2] = "Mnist_Mini"
    assert "Note:" not in done(run(*asked, *student))


def test_a_teacher_whose_classes_have_no_names(teacher, tmp_path):
    nameless = tmp_path / "teacher.safetensors"
    checkpoint = load_checkpoint(teacher)
    settings = checkpoint.settings.model_dump_json()
    write_checkpoint(nameless, checkpoint.state_dict, settings, checkpoint.step, Classes())
    asked = ["train_solver.py", "--data_name", "Emoji", "--dry_run", "--save_dir", tmp_path / "run"]
    done(run(*asked, "--set", f"train.teacher={nameless}", "--set", "train.student=consistency"))


def test_what_is_no_teacher(teacher, student, tmp_path):
    refused(distilled(tmp_path, student / "model.safetensors"), "is a student itself", "name its own teacher")
    refused(train(tmp_path, settings=[f"train.teacher={teacher}"]), "train.teacher and train.student belong together")
    refused(distilled(tmp_path, teacher, settings=["diffusion.objective=pred_noise", "diffusion.loss_of_clipped=false"]),
            "another diffusion.objective than pred_noise")  # fmt: skip
    refused(distilled(tmp_path, teacher, settings=["diffusion.sigma_data=0.5"]), "leave out diffusion.sigma_data: 0.3 -> 0.5")
    refused(distilled(tmp_path, teacher, settings=["data.image_size=32"]), "leave out data.image_size: 28 -> 32")
    refused(distilled(tmp_path, teacher, "--start_from", teacher, kind="consistency_training"), "begins with its teacher's weights")
    refused(distilled(tmp_path, teacher, settings=["train.student_steps=2000"]), "train.student_steps 2000", "1000 steps of noise")
    refused(train(tmp_path, settings=["train.student_steps=4"]), "train.student_steps belongs to train.student")
    refused(distilled(tmp_path, tmp_path / "none.safetensors"), "none.safetensors")
    for wrong, kind, words in (
        ("1p5", "consistency", "it is written cfg1p5 or cfg1p5t200t800"),
        ("2", "consistency", "train.teacher_guidance '2' is no guidance; it is written cfg1p5"),
        ("1.5", "consistency", "train.teacher_guidance '1.5' is no guidance; it is written cfg1p5"),
        ("quad_cfg1p5", "consistency", "is no guidance"),
        ("cfg1p5_r4", "consistency", "is no guidance"),
        ("cfg1p0", "consistency_training", "is no guidance"),
        ("cfg1p5", "consistency_training", "belongs to train.student consistency"),
        ("cfg1p5t200t1000", "consistency", "guides to timestep 1000; the last is 999"),
    ):
        refused(distilled(tmp_path, teacher, kind=kind, settings=[f"train.teacher_guidance={wrong}"]), words)
    refused(train(tmp_path, settings=["train.teacher_guidance=cfg1p5"]), "belongs to train.student consistency")
    refused(run("train_solver.py", "--data_name", "Mnist_Mini", "--save_dir", tmp_path, "--set", "sample.sample_info=CM_2_0p0"),
            "CM_2_0p0 draws from a student of consistency")  # fmt: skip
