import json
import re
import subprocess
import sys

import pytest
import yaml

from models import parameter_count
from utils.config import differences, load_data_settings, load_settings, to_yaml
from utils.errors import RequestError
from utils.settings import Blocks, ConfigFile, Settings
from utils.version import VERSION

NAMES = ["Mnist_Mini", "Emoji", "Mnist", "Fashion_Mnist", "Cifar10", "Flower102", "StyleGAN_Face"]


def write(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_of_the_shipped_file_resolves(name):
    settings = load_settings("config.yaml", name)
    assert settings.data_name == name
    assert settings.data.horizontal_flip == (name not in ("Mnist_Mini", "Mnist", "Fashion_Mnist"))
    assert settings.data.image_channel == (1 if "nist" in name else 3)


def test_the_shipped_defaults_are_complete_and_those_of_the_seed_page():
    document = yaml.safe_load(open("config.yaml"))
    for name, field in Blocks.model_fields.items():
        assert list(document["Train_Setting"][name]) == list(field.annotation.model_fields), name
    settings = Blocks.model_validate(document["Train_Setting"])
    assert settings == Blocks()
    assert (settings.diffusion.loss_type, settings.diffusion.beta_schedule) == ("l1", "cosine")
    assert (settings.diffusion.objective, settings.diffusion.timestep_num) == ("pred_noise", 1000)
    assert settings.diffusion.clip_denoised and settings.train.ema_decay == 0.9999
    assert (settings.train.adam_beta1, settings.train.adam_beta2) == (0.9, 0.99)


def test_the_shipped_schema_is_current():
    """Remade by: python -m utils.settings > config.schema.json"""
    assert json.load(open("config.schema.json")) == json.loads(json.dumps(ConfigFile.model_json_schema()))
    assert open("config.yaml").readline() == "# yaml-language-server: $schema=config.schema.json\n"


def test_precedence_is_defaults_entry_set_flags(tmp_path):
    path = write(
        tmp_path,
        "Train_Setting: {train: {batch_size: 2, learning_rate: 0.5, log_every: 2, save_every: 2}}\n"
        "Train_Data: {Emoji: {data: {source: emoji}, train: {learning_rate: 0.25, log_every: 3, save_every: 3}}}",
    )
    settings = load_settings(
        path, "Emoji", ["train.log_every=4", "train.save_every=4"], {"train.save_every": 5, "run.seed": None}
    )
    train = settings.train
    assert (train.batch_size, train.learning_rate, train.log_every, train.save_every, settings.run.seed) == (
        2,
        0.25,
        4,
        5,
        0,
    )


def test_a_training_on_takes_the_network_of_the_checkpoint_below_what_is_asked(tmp_path):
    of_checkpoint = load_settings("config.yaml", "Emoji")
    asked = ["run.start_from=emoji.safetensors", "diffusion.loss_type=huber"]
    settings = load_settings("config.yaml", "Mnist_Mini", asked, settings_of={"emoji.safetensors": of_checkpoint}.get)
    assert settings.model == of_checkpoint.model and settings.sample.sample_info == of_checkpoint.sample.sample_info
    assert settings.diffusion == of_checkpoint.diffusion.model_copy(update={"loss_type": "huber"})
    assert (settings.data.image_size, settings.data.image_channel, settings.data.source) == (32, 3, "mnist_mini")
    assert settings.train == load_settings("config.yaml", "Mnist_Mini").train


def test_what_goes_on_from_a_student_as_no_student_has_its_entrys_own_loss():
    words = ["train.student=consistency", "train.teacher=a", "sample.sample_info=CM_1_0p0", "diffusion.objective=pred_v"]
    student = load_settings("config.yaml", "Mnist", words)
    assert student.diffusion.loss_type == "picture_huber"
    plain = load_settings("config.yaml", "Mnist", ["run.start_from=b"], settings_of={"b": student}.get)
    assert plain.diffusion.objective == "pred_v" and plain.sample == load_settings("config.yaml", "Mnist").sample
    assert plain.diffusion.loss_type == load_settings("config.yaml", "Mnist").diffusion.loss_type


def test_what_is_off_is_not_written_and_comes_back(tmp_path):
    """Files and digests are as they were before there were such settings."""
    settings = load_settings("config.yaml", "Mnist_Mini")
    assert not {"norm_eps", "attention_bias"} & set(settings.model.model_dump()) and "betas" not in to_yaml(settings)
    other = load_settings("config.yaml", "Mnist_Mini", ["model.norm_eps=1e-3"])
    assert Settings.model_validate_json(other.model_dump_json()) == other
    assert differences(settings, other, ("model",)) == ["model.norm_eps: 1e-05 -> 0.001"]


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "0.0001", "1.0e-4"])
def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path, text):
    path = write(tmp_path, f"Train_Data: {{Emoji: {{data: {{source: emoji}}, train: {{learning_rate: {text}}}}}}}")
    assert load_settings(path, "Emoji").train.learning_rate == 1e-4
    assert load_settings("config.yaml", "Emoji", [f"train.learning_rate={text}"]).train.learning_rate == 1e-4


def test_five_lines_add_a_folder(tmp_path):
    path = write(tmp_path, "Train_Data:\n  Mine:\n    data:\n      data_path: /pictures\n      image_size: 64\n")
    settings = load_settings(path, "Mine")
    assert (settings.data.source, settings.data.data_path, settings.data.image_size) == ("folder", "/pictures", 64)


def test_the_resolved_settings_are_a_configuration_of_the_same_run(tmp_path):
    settings = load_settings("config.yaml", "Flower102", ["train.learning_rate=3e-4"], {"run.seed": 7})
    assert load_settings(write(tmp_path, to_yaml(settings)), "Flower102") == settings
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_differences_name_old_and_new():
    old, new = (
        load_settings("config.yaml", "Emoji", [f"diffusion.loss_type={loss}", f"data.cache_dir={loss}"])
        for loss in ("l1", "l2")
    )
    assert differences(old, new, ("data", "diffusion", "model")) == ["diffusion.loss_type: l1 -> l2"]


def test_config_yaml_is_looked_for_beside_the_scripts_too(tmp_path, monkeypatch):
    here = load_settings("config.yaml", "Emoji")
    monkeypatch.chdir(tmp_path)
    assert load_settings("config.yaml", "Emoji") == here
    write(tmp_path, "Train_Data: {Emoji: {data: {source: emoji}, run: {seed: 7}}}")
    assert load_settings("config.yaml", "Emoji").run.seed == 7


@pytest.mark.parametrize("text, number", [("0x10", 16), ("1_000", 1000), ("0", 0), ("-0", 0), ("10", 10)])
def test_numbers_that_yaml_reads_as_one_would(tmp_path, text, number):
    assert load_settings("config.yaml", "Emoji", [f"run.seed={text}"]).run.seed == number


def test_an_entry_may_have_a_block_s_name_or_a_quoted_number(tmp_path):
    path = write(tmp_path, "Train_Data: {data: {data: {source: emoji}}, '2024': {data: {source: emoji}, run: {seed: 3}}}")
    assert load_settings(path, "data").data.source == "emoji" and load_settings(path, "2024").run.seed == 3


def test_both_scripts_tell_their_version():
    for script in ("train_solver.py", "test_solver.py"):
        done = subprocess.run([sys.executable, script, "--version"], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, f"{script} {VERSION}\n")
    released = re.search(r"^## \[(\d+\.\d+\.\d+)\]", open("CHANGELOG.md", encoding="utf-8").read(), re.M)[1]
    assert released == VERSION == yaml.safe_load(open("CITATION.cff", encoding="utf-8"))["version"]


def test_help_answers_without_torch():
    modules = ("datasets", "interop", "sampling.schedule")
    for program in (["train_solver.py"], ["test_solver.py"], *(["-m", module] for module in modules), ["-m", "interop", "card"]):
        done = subprocess.run([sys.executable, "-X", "importtime", *program, "--help"], capture_output=True, text=True)
        assert done.returncode == 0 and "usage" in done.stdout
        assert "torch" not in done.stderr and "numpy" not in done.stderr


def test_without_a_gpu_the_sizes_of_cpu_setting_stand_below_the_entry_and_above_the_defaults(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "Train_Setting: {model: {base_channels: 128}, train: {batch_size: 128}}\n"
        "CPU_Setting: {model: {base_channels: 32, channel_mult: [1, 2]}, train: {batch_size: 16}}\n"
        "Train_Data: {Mine: {data: {data_path: x}}, Own: {data: {data_path: x}, model: {base_channels: 64}}}\n"
    )
    sizes = {
        (name, on_cpu): (settings.model.base_channels, settings.train.batch_size)
        for name in ("Mine", "Own")
        for on_cpu in (False, True)
        for settings in [load_settings(str(config), name, is_cpu=lambda device, on_cpu=on_cpu: on_cpu)]
    }
    assert sizes == {("Mine", False): (128, 128), ("Mine", True): (32, 16), ("Own", False): (64, 128), ("Own", True): (64, 16)}
    config.write_text("CPU_Setting: {model: {base_chanels: 32}}\nTrain_Data: {Mine: {data: {data_path: x}}}\n")
    with pytest.raises(RequestError, match="CPU_Setting.model.*base_chanels.*did you mean base_channels"):
        load_settings(str(config), "Mine", is_cpu=lambda device: True)


def test_student_setting_lies_above_the_entry_unless_that_is_a_students_own(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "Train_Setting: {train: {learning_rate: 1.0}}\n"
        "Student_Setting: {train: {learning_rate: 0.1, label_dropout: 0.0}, diffusion: {loss_type: picture_huber}}\n"
        "Train_Data:\n"
        "  Mine: {data: {data_path: x}, train: {learning_rate: 2.0}, diffusion: {objective: pred_v}}\n"
        "  Own: {data: {data_path: x}, train: {learning_rate: 3.0, student: consistency, teacher: a}, diffusion: {objective: pred_v},\n"
        "    sample: {sample_info: CM_1_0p0}}\n"
    )
    student = ["train.student=consistency", "train.teacher=a", "sample.sample_info=CM_1_0p0"]
    for name, asked, expected in (
        ("Mine", [], (2.0, 0.1, "l1")),
        ("Mine", student, (0.1, 0.0, "picture_huber")),
        ("Mine", [*student, "train.learning_rate=0.5"], (0.5, 0.0, "picture_huber")),
        ("Own", [], (3.0, 0.0, "picture_huber")),
    ):
        settings = load_settings(str(config), name, asked)
        assert (settings.train.learning_rate, settings.train.label_dropout, settings.diffusion.loss_type) == expected
    config.write_text(
        "CPU_Setting: {train: {student: consistency, teacher: a}}\n"
        "Student_Setting: {diffusion: {loss_type: huber}, sample: {sample_info: CM_1_0p0}}\n"
        "Train_Data: {Mine: {data: {data_path: x}, diffusion: {objective: pred_v}}}\n"
    )
    assert load_settings(str(config), "Mine", is_cpu=lambda device: True).diffusion.loss_type == "huber"
    config.write_text("Student_Setting: {train: {student: consistency}}\nTrain_Data: {Mine: {data: {data_path: x}}}\n")
    with pytest.raises(RequestError, match="Student_Setting.train.student: .* move it to an entry"):
        load_settings(str(config), "Mine")
    config.write_text("Student_Setting: {train: {learning_rat: 1}}\nTrain_Data: {Mine: {data: {data_path: x}}}\n")
    with pytest.raises(RequestError, match="Student_Setting.train.*did you mean learning_rate"):
        load_settings(str(config), "Mine")


@pytest.mark.parametrize("name", ["Mnist_Mini", "Emoji", "Mnist", "Fashion_Mnist", "Cifar10", "Flower102", "StyleGAN_Face"])
def test_every_entry_has_a_network_that_fits_its_pictures_with_and_without_a_gpu(name):
    on_gpu, on_cpu = load_settings("config.yaml", name), load_settings("config.yaml", name, is_cpu=lambda device: True)
    parameters = [parameter_count(settings.model_arguments()) for settings in (on_gpu, on_cpu)]
    assert parameters[1] <= parameters[0]


def test_on_a_cpu_a_size_that_the_defaults_of_a_gpu_do_not_fit_is_no_mistake():
    asked = ["data.data_path=x", "data.image_size=[48, 64]"]
    with pytest.raises(RequestError, match="16, which never occurs"):
        load_settings("config.yaml", "StyleGAN_Face", asked)
    settings = load_settings("config.yaml", "StyleGAN_Face", asked, is_cpu=lambda device: device == "auto")
    assert settings.data.shape == (3, 48, 64) and settings.model.attention_resolutions == []


def test_the_data_block_alone_asks_nothing_of_a_network():
    asked = ["data.data_path=x", "data.image_size=[31, 17]"]
    assert load_data_settings("config.yaml", "StyleGAN_Face", asked).shape == (3, 31, 17)
    for wrong, words in (
        (["data.crop=left"], "--set data.crop=left: data.crop"),
        (["data.resize=9"], "must be at least 31"),
        (["data.data_path=null"], "data.data_path is missing"),
        (["model.base_chanels=1"], "did you mean base_channels"),
    ):
        with pytest.raises(RequestError, match=words):
            load_data_settings("config.yaml", "StyleGAN_Face", [*asked, *wrong])
