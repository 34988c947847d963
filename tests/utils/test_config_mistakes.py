"""Mistakes in a configuration: one line each, that names the place and the remedy."""

import pytest

from tests.utils.test_config import write
from utils.config import load_settings
from utils.errors import RequestError


@pytest.mark.parametrize(
    "text, words",
    [
        ("Train_Settings: {}", ["Train_Settings", "did you mean Train_Setting?"]),
        ("Train_Setting: {trian: {}}", ["Train_Setting", "'trian'", "did you mean train?"]),
        (
            "Train_Setting: {train: {learning_rat: 1}}",
            ["Train_Setting.train", "'learning_rat'", "did you mean learning_rate?"],
        ),
        ("Train_Setting: {train: {seed: 1}}", ["Train_Setting.train", "'seed'", "did you mean run.seed?"]),
        (
            "Train_Data: {Emoji: {image_size: 32}}",
            ["Train_Data.Emoji", "'image_size'", "did you mean data.image_size?"],
        ),
        ("Train_Data: {Emoji: {data: {image_size: 32.5}}}", ["Train_Data.Emoji", "data.image_size", "integer", "32.5"]),
        ("Train_Data: {Emoji: {data: {image_size: '32'}}}", ["data.image_size", "integer", "'32'"]),
        ("Train_Data: {Emoji: {data: {image_size: true}}}", ["data.image_size", "integer", "True"]),
        ("Train_Data: {Emoji: {data: {image_size: [48]}}}", ["data.image_size", "[HEIGHT, WIDTH]", "[48]"]),
        ("Train_Data: {Emoji: {data: {image_size: [48, 64.5]}}}", ["data.image_size", "integer", "64.5"]),
        ("Train_Data: {Emoji: {data: {image_size: [48, 0]}}}", ["data.image_size", "greater than or equal to 1", "not 0"]),
        ("Train_Data: {Emoji: {data: {crop: middle}}}", ["data.crop", "'center', 'random' or 'none'", "'middle'"]),
        ("Train_Data: {Emoji: {data: {resize: big}}}", ["data.resize", "integer", "'big'"]),
        ("Train_Data: {Emoji: {data: {resize: [1, 2, 3]}}}", ["data.resize", "[HEIGHT, WIDTH]"]),
        ("Train_Data: {Emoji: {data: {horizontal_flip: 1}}}", ["data.horizontal_flip", "boolean"]),
        ("Train_Data: {Emoji: {data: {image_channel: 2}}}", ["data.image_channel", "1 or 3", "2"]),
        ("Train_Data: {Emoji: {train: {learning_rate: fast}}}", ["train.learning_rate", "number", "'fast'"]),
        ("Train_Data: {Emoji: {train: {learning_rate: .inf}}}", ["train.learning_rate", "finite"]),
        ("Train_Data: {Emoji: {train: {batch_size: 0}}}", ["train.batch_size", "greater than or equal to 1", "0"]),
        ("Train_Data: {Emoji: {diffusion: {loss_type: l3}}}", ["diffusion.loss_type", "'l1'", "'l3'"]),
        ("Train_Data: {Emoji: {model: 3}}", ["Train_Data.Emoji.model", "mapping", "3"]),
        ("Train_Data: {Emoji: 3}", ["Train_Data.Emoji", "mapping", "3"]),
        ("Train_Data: {Emojis: {}}", ["'Emoji'", "did you mean Emojis?"]),
        ("Train_Data: {Emoji: {run: {seed: -1}}}", ["run.seed", "greater than or equal to 0"]),
        ("Train_Data: {Emoji: {run: {seed: 1}, run: {seed: 2}}}", ["YAML", "run is given twice, line 1, column 38: "]),
        ("Train_Data: {Emoji: {run: {seed: 010}}}", ["010 would be read as 8: write 8 if that is meant, else", "line 1, column 34"]),
        ("Train_Data: {Emoji: {}}", ["data_path"]),
        ("Train_Data: {Emoji: {data: {source: emoji, image_size: 30}}}", ["image_size 30", "multiple of 8"]),
        ("Train_Data: {Emoji: {data: {source: emoji, image_size: [64, 60]}}}", ["image_size [64, 60]", "multiples of 8"]),
        ("Train_Data: {Emoji: {data: {source: emoji, image_size: 64, resize: 32}}}", ["data.resize 32", "at least 64"]),
        (
            "Train_Data: {Emoji: {data: {source: emoji}, model: {attention_resolutions: [5]}}}",
            ["5", "never occurs", "[32, 16, 8, 4]"],
        ),
        ("Train_Data: {Emoji: {data: {source: emoji}, model: {norm_groups: 5}}}", ["norm_groups 5", "128"]),
        (
            "Train_Data: {Emoji: {data: {source: emoji}, sample: {sample_info: DDIM_50}}}",
            ["'DDIM_50'", "METHOD_STEPS_ETA"],
        ),
        ("Train_Data: {Emoji: {data: {source: emoji}, diffusion: {timestep_num: 20}}}", ["1 to the 20", "50"]),
        ("- 1", ["Train_Setting and Train_Data"]),
        ("a: [", ["YAML"]),
        ("", ["Train_Setting and Train_Data"]),
    ],
)
def test_mistakes_are_one_line_that_names_the_place_and_the_remedy(tmp_path, text, words):
    with pytest.raises(RequestError) as error:
        load_settings(write(tmp_path, text), "Emoji")
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "override, words",
    [
        ("train.learning_rate", ["BLOCK.KEY=VALUE"]),
        ("learning_rate=1", ["BLOCK.KEY=VALUE"]),
        ("train.learning_rat=1", ["did you mean learning_rate?"]),
        ("trainer.learning_rate=1", ["did you mean train?"]),
        ("train.batch_size=1.5", ["--set train.batch_size=1.5", "integer"]),
        ("train.batch_size=[", ["YAML"]),
        ("data.source=emojis", ["data.source", "emojis"]),
    ],
)
def test_mistakes_on_the_command_line_name_the_override(override, words):
    with pytest.raises(RequestError) as error:
        load_settings("config.yaml", "Emoji", [override])
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_a_missing_file_is_named():
    with pytest.raises(RequestError, match=r"nowhere\.yaml cannot be read"):
        load_settings("nowhere.yaml", "Emoji")
