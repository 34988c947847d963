"""`report`: one HTML page of a run, with everything inside: the page to send to a colleague."""

import glob
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from diffusion.sample_info import METHODS
from evaluation.record import LEFT_OUT, describe_records
from modes.model import Model
from utils.checkpoints import LOG_FILE
from utils.errors import RequestError
from utils.files import atomic_write, put_aside
from utils.log_curves import grouped_curves, is_number
from utils.plots import data_uri, plot, svg
from utils.run_files import evenly, read_log, sheets_of, words_of
from utils.settings import Blocks, Settings

SHEETS_MAX = 12  # grids that are shown; of more, evenly spread ones


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
    whose = re.search("--model_path [^<]*<", page).group()
    if path.is_file() and whose not in path.read_text(encoding="utf-8", errors="replace"):
        print(f"Kept:    {put_aside([path])[0]}, of another run")
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return [path]


def render(folder: Path, model: Model, results: Path) -> str:
    """The page as text. Nothing in it points elsewhere; what comes out of the run's files is escaped."""
    lines = read_log(folder / LOG_FILE)
    sheets = sheets_of(folder)
    shown = evenly(list(sheets.items()), SHEETS_MAX)
    trained, settings = model
    data = settings.data
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").render(
        name=trained.name,
        data_name=settings.data_name,
        shape=f"{'x'.join(map(str, data.shape[1:]))}, {'grey' if data.image_channel == 1 else 'RGB'}",
        parameters=sum(parameter.numel() for parameter in trained.model.parameters()),
        step=trained.step,
        batch_size=settings.train.batch_size,
        sample_info=settings.sample.sample_info,
        path=trained.path,
        sheets=[{"step": step, "uri": data_uri(file.read_bytes(), "image/png")} for step, file in shown],
        left_out=len(sheets) - len(shown),
        measured=[
            measured(file, trained.path)
            for file in sorted([*folder.glob("*.json"), *files_of(trained.name, results, "json")])
        ],
        pictures=[
            {"name": file.name, "uri": data_uri(file.read_bytes(), "image/png")}
            for file in files_of(trained.name, results, "png")
        ],
        comparison=comparison(trained.name, results),
        curves=[
            {"title": title, "uri": data_uri(svg(plot(curves, title, "training step", "")), "image/svg+xml")}
            for title, curves in grouped_curves(lines).items()
        ],
        remarks=[{"step": line["step"], "text": text} for line in lines for text in words_of(line)],
        settings=setting_rows(settings),
    )


def files_of(name: str, results: Path, kind: str) -> list[Path]:
    """The files of a `kind`, "png" or "json", that the modes wrote into `results` of the model `name`; none of `name`_v's."""
    found = sorted(results.glob(f"{glob.escape(name)}_*.{kind}"))
    return [path for path in found if path.stem[len(name) + 1 :].partition("_")[0] in (*METHODS, "likelihood")]


def comparison(name: str, results: Path) -> dict[str, object] | None:
    """The table and the pictures of the comparison in `results`; None where there is none that `name` took part in."""
    table = results / "compare_table.md"
    if not table.is_file() or f"| {name} |" not in (text := table.read_text(encoding="utf-8")):
        return None
    lines = [line for line in text.splitlines() if line]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    pictures = sorted(results.glob("compare_*.png"))
    return {
        "table": {"head": rows[0], "rows": rows[2:]},  # rows[1] is markdown's line of dashes
        "protocol": " ".join(line for line in lines if not line.startswith("|")),
        "pictures": [{"name": path.name, "uri": data_uri(path.read_bytes(), "image/png")} for path in pictures],
    }


def measured(path: Path, model_path: Path) -> dict[str, object]:
    """What a JSON file of figures holds: the named figures as a table, with their protocol; everything as rows; and whether it
    says that it is of another checkpoint than this one.

    RequestError if it holds none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} holds no figures: {error}; move it away") from None
    stated = content.get("model_sha256") if isinstance(content, dict) else None
    other = isinstance(stated, str) and not hashlib.sha256(model_path.read_bytes()).hexdigest().startswith(stated)
    table, protocol = (None, "") if not isinstance(content, dict) else (figure_table(content), protocol_of(content))
    shown = {"title": path.stem, "file": path.name, "other": other, "table": table, "protocol": protocol}
    return shown | {"rows": list(flattened(content, ""))}


def figure_table(record: dict) -> dict[str, list] | None:
    """The named figures of an evaluation, with a row for the floor, or of a likelihood; None where there are none."""
    bits = record.get("bits_per_dimension")
    if isinstance(bits, dict) and is_number(bits.get("mean")):
        parts = {name: bits[name] for name in ("decoder", "divergences", "prior") if is_number(bits.get(name))}
        mean = {"mean": bits["mean"], "std": bits.get("standard_error")}
        return {"head": ["bits a dimension, at most", *parts], "rows": [[text_of(mean), *map(text_of, parts.values())]]}
    drawn, floor = record.get("figures"), record.get("floor")
    rows = {"drawn": drawn, "floor: real pictures": floor.get("figures") if isinstance(floor, dict) else None}
    rows = {name: figures for name, figures in rows.items() if isinstance(figures, dict)}
    names = dict.fromkeys(name for figures in rows.values() for name in figures if has_mean(figures[name]))
    names = [name for name in names if name not in LEFT_OUT]
    if not names:
        return None
    cells = [[text_of(figures[n]) if has_mean(figures.get(n)) else "" for n in names] for figures in rows.values()]
    return {"head": ["", *(n.replace("_", " ") for n in names)], "rows": [[row, *c] for row, c in zip(rows, cells)]}


def protocol_of(record: dict) -> str:
    """What the figures depend on, in words; "" for a record that does not say it, or in other terms than today's."""
    try:
        if "bits_per_dimension" in record:
            return (
                "{pictures:,} pictures of {data}, {split} split; {timesteps_a_picture:,} of {timesteps:,} timesteps a "
                "picture; variance {variance}"
            ).format(**record["protocol"]) + f"; {record['weights']} weights"
        if "latents" in record:
            words = "{pictures:,} pictures of {data}, {split} split, encoded and drawn again".format(**record["protocol"])
            return f"{words}; {record['weights']} weights"
        return describe_records([record])
    except (KeyError, TypeError, ValueError):
        return ""


def has_mean(value: object) -> bool:
    """Whether it is a figure: a mean, perhaps with its standard deviation."""
    return isinstance(value, dict) and is_number(value.get("mean"))


def text_of(value: object) -> str:
    """A number, or a mean with its standard deviation or error, to four digits."""
    if not isinstance(value, dict):
        return f"{value:.4g}"
    return f"{value['mean']:.4g}" + ("" if value.get("std") is None else f" ± {value['std']:.2g}")


def flattened(value: object, key: str) -> Iterator[tuple[str, str]]:
    """(key, text) for every value within: a mean with its standard deviation in one, long lists by their length."""
    if has_mean(value):
        yield key, text_of(value)
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
