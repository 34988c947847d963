"""`report`: one HTML page of a run, with everything inside: the page to send to a colleague."""

import glob
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from modes.model import Model
from utils.errors import RequestError
from utils.files import atomic_write
from utils.plots import Curve, data_uri, plot, svg
from utils.settings import Blocks, Settings

SHEETS_MAX = 12  # grids that are shown; of more, evenly spread ones
LOG_FILE = "log.jsonl"


def run(model: Model, *, save_dir: str) -> list[Path]:
    """The page of the run that `--model_path` lies in: its settings, curves, grids over time, and what was measured of it."""
    trained = model.trained
    folder = trained.path.parent
    path = Path(save_dir).absolute() / f"{trained.name}_report.html"
    if not (folder / LOG_FILE).is_file():
        raise RequestError(
            f"a report is of a whole run, and {folder} has no {LOG_FILE}: --model_path train_results/NAME/model.safetensors"
        )
    print(f"Reports: the run in {folder}")
    print(f"Output:  {path}", flush=True)
    page = render(folder, model, path.parent)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return [path]


def render(folder: Path, model: Model, results: Path) -> str:
    """The page as text. Nothing in it points elsewhere; what comes out of the run's files is escaped."""
    lines = read_log(folder / LOG_FILE)
    sheets = sorted((folder / "samples").glob("step_*.png"))
    shown = evenly(sheets, SHEETS_MAX)
    trained, settings = model
    data = settings.data
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").render(
        name=trained.name,
        data_name=settings.data_name,
        shape=f"{data.image_size}x{data.image_size}, {'grey' if data.image_channel == 1 else 'RGB'}",
        parameters=sum(parameter.numel() for parameter in trained.model.parameters()),
        step=trained.step,
        batch_size=settings.train.batch_size,
        sample_info=settings.sample.sample_info,
        path=trained.path,
        sheets=[{"step": int(file.stem[5:]), "uri": data_uri(file.read_bytes(), "image/png")} for file in shown],
        left_out=len(sheets) - len(shown),
        measured=[
            measured(file, trained.path)
            for file in sorted([*folder.glob("*.json"), *results.glob(f"{glob.escape(trained.name)}_*.json")])
        ],
        curves=[
            {"title": title, "uri": data_uri(svg(plot(curves, title, "training step", "")), "image/svg+xml")}
            for title, curves in grouped_curves(lines).items()
        ],
        remarks=[{"step": line["step"], "text": text} for line in lines for text in words_of(line)],
        settings=setting_rows(settings),
    )


def read_log(path: Path) -> list[dict]:
    """The lines of a log.jsonl, but for the torn last one of a run that is being written or was killed."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines


def grouped_curves(lines: list[dict]) -> dict[str, list[Curve]]:
    """A curve for each number in the log, those of one kind in one plot: loss with loss_q1 ..., drawn_mean_0 with data_mean_0.

    What describes the data, beside which the drawn is judged, is dashed, in the colour of its counterpart.
    """
    groups: dict[str, list[Curve]] = {}
    colours: dict[str, dict[str, int]] = {}
    names = dict.fromkeys(name for line in lines for name, value in line.items() if name != "step" and is_number(value))
    for name in names:
        points = [(line["step"], line[name]) for line in lines if is_number(line.get(name))]
        kind = re.sub(r"^(drawn|data)_|_q?\d+$", "", name).replace("_", " ")
        whose = colours.setdefault(kind, {})
        colour = whose.setdefault(re.sub(r"^(drawn|data)_", "", name), len(whose))
        steps, values = (list(column) for column in zip(*points))
        groups.setdefault(kind, []).append(Curve(name, steps, values, dashed=name.startswith("data_"), colour=colour))
    return groups


def words_of(line: dict) -> list[str]:
    """What a line of the log says in words: the doctor's remarks."""
    texts = [value if isinstance(value, list) else [value] for value in line.values() if isinstance(value, (str, list))]
    return [str(text) for part in texts for text in part]


def is_number(value: object) -> bool:
    """Whether it can be a point of a curve."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def measured(path: Path, model_path: Path) -> dict[str, object]:
    """What a JSON file of figures holds, as rows, and whether it says that it is of another checkpoint than this one.

    RequestError if it holds none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} holds no figures: {error}; move it away") from None
    stated = content.get("model_sha256") if isinstance(content, dict) else None
    other = isinstance(stated, str) and not hashlib.sha256(model_path.read_bytes()).hexdigest().startswith(stated)
    return {"title": path.stem, "file": path.name, "rows": list(flattened(content, "")), "other": other}


def flattened(value: object, key: str) -> Iterator[tuple[str, str]]:
    """(key, text) for every value within: a mean with its spread in one, long lists by their length."""
    if isinstance(value, dict) and isinstance(value.get("mean"), float):
        yield key, f"{value['mean']:.4g}" + ("" if value.get("std") is None else f" ± {value['std']:.2g}")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from flattened(inner, f"{key} {name}".strip())
    elif isinstance(value, list) and len(value) > 16:
        yield key, f"{len(value)} values"
    else:
        yield key, f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False).strip('"')


def setting_rows(settings: Settings) -> dict[str, list[dict]]:
    """Each block's keys and values, and whether they differ from the program's defaults."""
    defaults = Blocks().model_dump()
    return {
        block: [
            {"key": key, "value": json.dumps(value), "changed": value != defaults[block][key]}
            for key, value in keys.items()
        ]
        for block, keys in settings.model_dump(exclude={"data_name"}).items()
    }


def evenly(items: list, most: int) -> list:
    """At most `most` of the items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
