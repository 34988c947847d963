"""The tab Training: the page of a run while it trains, wherever that was started from."""

from html import escape
from pathlib import Path

import gradio as gr

from page.controls import AT_ONCE, Page
from page.curves import Line, chart, charts
from page.markup import facts, problem, status
from page.refusals import refused, told
from page.words import language_of, say, word
from utils.checkpoints import LOG_FILE
from utils.errors import RequestError
from utils.log_curves import grouped_curves
from utils.plots import data_uri
from utils.run_files import evenly, read_log, sheets_of, words_of

SECONDS = 5  # between two looks at the folder
SHEETS_MAX = 6
POINTS_MAX = 400  # of a curve
WARNINGS_MAX = 8
LARGEST_LOG = 64 * 2**20  # bytes


class TrainingTab:
    """The tab's components and events."""

    def __init__(self, page: Page, root: gr.Blocks):
        self.page = page
        gr.Markdown(word("training_intro"))
        run = gr.Dropdown([], label=word("run"), elem_id="training_run", allow_custom_value=True)
        view = gr.HTML(elem_id="training_view")
        seen = gr.State("")
        clock = gr.Timer(SECONDS)
        root.load(self.runs, None, run, **AT_ONCE)
        clock.tick(self.runs, run, run, **AT_ONCE)
        gr.on([clock.tick, run.change], self.show, [run, seen], [view, seen], **AT_ONCE)

    def runs(self, chosen: str | None = None) -> dict:
        """The trainings that there are now; the one that was begun last is shown at first."""
        folders = self.page.offered.runs()
        newest = max(folders, key=lambda name: (folders[name] / LOG_FILE).stat().st_mtime, default=None)
        return gr.update(choices=list(folders), value=chosen if chosen in folders else newest)

    def show(self, name: str | None, seen: str, request: gr.Request) -> list:
        """The run as its folder says, if it says anything new."""
        language = language_of(request)
        if not name:
            return [status(say("no_run", language)), ""]
        try:
            folder = self.page.offered.run(name)
            state = self.state(folder, language)
            if state == seen:
                return [gr.skip(), gr.skip()]
            return [render(folder, language), state]
        except RequestError as error:
            return [problem(told(error, language)), ""]

    def state(self, folder: Path, language: str) -> str:
        """What changes when there is something new to see."""
        log = (folder / LOG_FILE).stat()
        return f"{folder} {log.st_size} {log.st_mtime_ns} {len(sheets_of(folder))} {language}"


def render(folder: Path, language: str) -> str:
    """Figures, warnings, grids and curves of the run in the folder. RequestError if its log is too large for a page."""
    path = folder / LOG_FILE
    if path.stat().st_size > LARGEST_LOG:
        raise refused("large_log", name=folder.name, most=LARGEST_LOG // 2**20)
    lines = read_log(path)
    if not lines:
        return status(say("no_lines", language))
    newest = lines[-1]
    wanted = {"step": ",", "loss": ".4g", "lr": ".3g", "pictures_per_second": ",.0f"}
    figures = {
        name: format(newest[name], form) for name, form in wanted.items() if isinstance(newest.get(name), (int, float))
    }
    warnings = [(line["step"], text) for line in lines for text in words_of(line)][-WARNINGS_MAX:]
    told = "".join(f"<li>{say('at_step', language, step=step)}: {escape(text)}</li>" for step, text in warnings[::-1])
    warned = f'<div class="warnings"><h3>{say("warnings", language)}</h3><ul>{told}</ul></div>' if told else ""
    return facts(figures) + warned + grids(folder, language) + curves(lines, language)


def grids(folder: Path, language: str) -> str:
    """Some of the grids, evenly, the newest one last."""
    shown = []
    for step, path in evenly(list(sheets_of(folder).items()), SHEETS_MAX):
        caption = say("at_step", language, step=step)
        uri = data_uri(path.read_bytes(), "image/png")
        shown.append(
            f'<figure class="pixels"><img src="{uri}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
        )
    return f'<h3>{say("grids", language)}</h3><div class="row sheets">{"".join(shown)}</div>' if shown else ""


def curves(lines: list[dict], language: str) -> str:
    """A plot for each kind of figure in the log."""
    drawn_charts = []
    for title, group in grouped_curves(lines).items():
        drawn = []
        for curve in group:
            points = evenly(list(zip(curve.x, curve.y)), POINTS_MAX)
            drawn.append(Line(curve.label, points, dashed=curve.dashed))
        drawn_charts.append(chart(drawn, title, say("training_step", language)))
    return f"<h3>{say('curves', language)}</h3>{charts(*drawn_charts)}"
