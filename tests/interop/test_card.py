"""Model cards: what stands in them, that the Hub's own reader takes them, and that nobody's README is written over."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from interop.card import write_card, write_run_card
from interop.checkpoints import open_checkpoint
from tests.processes import ROOT, done, refused, run, train
from tests.small_training import make_trainer
from utils.checkpoints import add_tuned_times

SHIPPED = f"{ROOT}/checkpoints/mnist_mini.safetensors"


def head_of(text):
    """The YAML between the first two rules."""
    before, head, _ = text.split("---\n", 2)
    assert before == ""
    return yaml.safe_load(head)


@pytest.fixture
def checkpoint():
    return open_checkpoint(SHIPPED)


def test_the_head_names_the_data_and_its_licence_as_the_hub_does(tmp_path, checkpoint):
    hub = pytest.importorskip("huggingface_hub")
    path = write_card(tmp_path, "digits", checkpoint)
    assert path.name == "README.md"
    text = path.read_text(encoding="utf-8")
    head = head_of(text)
    assert head["license"] == "cc-by-sa-3.0" and head["datasets"] == ["ylecun/mnist"]
    assert head["pipeline_tag"] == "unconditional-image-generation"
    card = hub.ModelCard(text)
    assert card.data.license == "cc-by-sa-3.0" and card.data.to_dict() == head
    for words in ("28x28", "17,500 steps", "CC BY-SA 3.0", "`7`", "## Intended use", "None yet"):
        assert words in text, words


def test_figures_come_with_their_protocol_from_the_records_of_just_this_file(tmp_path, checkpoint):
    hub = pytest.importorskip("huggingface_hub")
    records = tmp_path / "records"
    records.mkdir()
    for name in ("mnist_mini_DPMPP_20_0p0_evaluate.json", "mnist_mini_DPMPP_20_0p0_evaluate.md", "mnist_mini_likelihood.json"):
        shutil.copy(f"{ROOT}/docs/{name}", records / name)
    record = json.loads((records / "mnist_mini_DPMPP_20_0p0_evaluate.json").read_text())
    here = {"command": f"python test_solver.py --model_path {tmp_path}/mnist_mini.safetensors"}
    (records / "mnist_mini_DPMPP_20_0p0_evaluate.json").write_text(json.dumps(record | here))
    (records / "other_evaluate.json").write_text(json.dumps(record | {"model_sha256": "0" * 12, "sampler": "OTHER"}))
    (records / "broken_evaluate.json").write_text('{"model_sha256": [')
    shutil.copy(SHIPPED, tmp_path / "mnist_mini.safetensors")
    process = run("interop/__main__.py", "card", tmp_path / "mnist_mini.safetensors", "--records", records)
    assert "README.md" in done(process)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "--model_path mnist_mini.safetensors`" in text and str(tmp_path) not in text
    assert "OTHER" not in text and "| fid |" in text and "1,000 pictures a row, seeds 0 to 999" in text
    assert f"At most {json.loads((records / 'mnist_mini_likelihood.json').read_text())['bits_per_dimension']['mean']:.3f}" in text
    results = hub.ModelCard(text).data.eval_results
    found = {result.metric_type: result.metric_value for result in results}
    assert found["fid"] == pytest.approx(record["figures"]["fid"]["mean"], abs=1e-5) and "bits_per_dimension" in found


def test_a_card_names_the_samplers_that_timesteps_were_tuned_for(tmp_path, checkpoint):
    assert "tuned" not in write_card(tmp_path, "digits", checkpoint).read_text(encoding="utf-8")
    model = tmp_path / "digits.safetensors"
    add_tuned_times(Path(SHIPPED), {"DPMPP_2_0p0": [999, 400], "DDIM_3_0p0_cfg1p5": [999, 90, 4]}, model)
    done(run("interop/__main__.py", "card", model))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| timesteps tuned for | `DDIM_3_0p0_tuned_cfg1p5`, `DPMPP_2_0p0_tuned` |" in text
    tuned = open_checkpoint(model)
    exported = write_card(tmp_path / "onnx", "digits", tuned, files=["digits.onnx"]).read_text(encoding="utf-8")
    assert "tuned" not in exported  # which holds no timesteps


def test_each_run_has_a_card_from_its_first_checkpoint_on(tmp_path):
    done(train(tmp_path / "run", "--max_steps", 2, settings=[*SMALL_RUN]))
    text = (tmp_path / "run/README.md").read_text(encoding="utf-8")
    assert "![What it draws](samples/step_000002.png)" in text and (tmp_path / "run/samples/step_000002.png").exists()
    assert "# run\n" in text and "2 steps of 4 pictures" in text and str(tmp_path) not in text
    assert head_of(text)["license"] == "cc-by-sa-3.0"
    out = done(run("test_solver.py", "--model_path", tmp_path / "run", "--sample_num", 4, "--save_dir", tmp_path / "out"))
    assert "run_DDIM_2_0p0" in out  # the folder itself, as it would be uploaded


SMALL_RUN = ["model.base_channels=8", "model.norm_groups=4", "train.batch_size=4", "sample.sample_num=4",
             "sample.sample_info=DDIM_2_0p0", "train.save_minutes=null"]  # fmt: skip


def test_a_readme_of_other_hands_is_left_alone(tmp_path, checkpoint):
    readme = tmp_path / "README.md"
    readme.write_text("# My work\n")
    path = write_card(tmp_path, "digits", checkpoint)
    assert path.name == "digits.README.md" and readme.read_text() == "# My work\n"
    path.unlink()
    readme.unlink()
    write_card(tmp_path, "digits", checkpoint)
    first = readme.read_text()
    assert write_card(tmp_path, "digits", checkpoint) == readme  # its own, written anew
    assert write_card(tmp_path, "letters", checkpoint).name == "letters.README.md" and readme.read_text() == first
    own = "".join(line for line in first.splitlines(keepends=True) if "written anew" not in line)
    readme.write_text(own)
    assert write_card(tmp_path, "digits", checkpoint).name == "digits.README.md" and readme.read_text() == own


def test_names_from_a_file_mean_nothing_in_markdown_or_yaml(tmp_path):
    trainer = make_trainer("model.num_classes=10")
    trainer.step = 1
    settings = json.loads(trainer.settings_json) | {"data_name": "a`: [b](c)\" <i>"}
    state = trainer.snapshot() | {"settings": json.dumps(settings)}
    state["classes"] = {"names": ["<script>", *"123456789"], "counts": [1] * 10}
    (tmp_path / "model.safetensors").touch()
    write_run_card(state, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "`<script>`" in text and "`a': [b](c)\" <i>`" in text
    assert head_of(text)["tags"][0] == "diffusion"


def test_a_card_of_nothing_is_refused_in_one_line(tmp_path):
    refused(run("interop/__main__.py", "card", tmp_path), "holds no model.safetensors")
    refused(run("interop/__main__.py", "card", tmp_path / "nowhere.safetensors"), "nowhere.safetensors", "does not exist")


def test_a_folder_of_any_name_leaves_the_head_whole(tmp_path, checkpoint):
    folder = tmp_path / "a\nlicense: mit"
    folder.mkdir()
    head = head_of(write_card(folder, folder.name, checkpoint).read_text(encoding="utf-8"))
    assert head["license"] == "cc-by-sa-3.0"
