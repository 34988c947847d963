"""What is said of a teacher before its student is trained."""

import pytest

from interop.training_on import load_teacher, load_training


@pytest.mark.parametrize("data_name, name, is_warned", [("Emoji", "emoji", True), ("Mnist_Mini", "mnist_mini", False)])
def test_a_teacher_whose_students_diverge_is_said_to_be_one(capsys, data_name, name, is_warned):
    teacher = f"checkpoints/{name}.safetensors"
    settings = load_training("config.yaml", data_name, [f"train.teacher={teacher}", "train.student=consistency"], {"run.device": "cpu"})
    assert load_teacher(settings) is not None
    said = capsys.readouterr().out
    assert teacher in said and ("pred_x0" in said) == is_warned
