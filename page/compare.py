"""The tab Compare: the same seeds by several samplers, checkpoints and precisions, a row each."""

from collections.abc import Iterator, Sequence
from html import escape

import gradio as gr

from page.controls import (
    AT_ONCE,
    IN_TURN,
    STATE_SECONDS,
    Page,
    class_dropdown,
    connect_stop,
    default_text,
    follow_classes,
    model_dropdown,
    seed_number,
    visitor,
)
from page.drawing import Drawing
from page.limits import LARGEST_SEED, MAX_ROWS, check_work, sampler_within, whole
from page.machine import Stopped
from page.markup import figure, problem, status
from page.offered import PRECISIONS
from page.refusals import refused, told
from page.words import language_of, say, word
from utils.errors import RequestError
from utils.pictures import grid

MOST_COLUMNS = 12


class CompareTab:
    """The tab's components and events. Of `MAX_ROWS` rows those count in which a sampler stands."""

    def __init__(self, page: Page, root: gr.Blocks):
        self.page = page
        gr.Markdown(word("compare_intro"))
        rows = []
        for number in range(MAX_ROWS):
            with gr.Row(elem_classes="compare_row", visible=number < 3) as row:
                model = model_dropdown(page, f"compare_{number}")
                text = gr.Textbox(
                    self.begins_with(model.value, number),
                    label=word("sampler"), max_lines=1, elem_id=f"compare_{number}_sampler",
                )  # fmt: skip
                precision = gr.Dropdown(
                    list(PRECISIONS),
                    value="auto",
                    label=word("precision"),
                    min_width=90,
                    elem_id=f"compare_{number}_precision",
                )
            rows.append((row, model, text, precision))
        with gr.Row():
            seed = seed_number("compare")
            count = gr.Number(
                8, label=word("count"), precision=0, minimum=1, maximum=MOST_COLUMNS, elem_id="compare_count"
            )
            label = class_dropdown("compare")
        with gr.Row():
            go = gr.Button(word("draw"), variant="primary", elem_id="compare_go")
            stop = gr.Button(word("stop"), elem_id="compare_stop")
            more = gr.Button(word("more_rows"), elem_id="compare_more")
        self.said = gr.HTML(elem_id="compare_status", min_height=40)
        self.table = gr.HTML(elem_id="compare_table", apply_default_css=False)
        self.drawings = gr.State(None, time_to_live=STATE_SECONDS)
        follow_classes(page, root, rows[0][1], label)
        outputs = [self.said, self.table, self.drawings]
        cells = [cell for _, *cells in rows for cell in cells]
        event = go.click(self.run, [seed, count, label, *cells], outputs, show_progress_on=self.said, **IN_TURN)
        connect_stop(page, "compare", stop, event, self.said, outputs, self.drawings, self.after)
        more.click(lambda: [gr.update(visible=True)] * MAX_ROWS, None, [row for row, *_ in rows], **AT_ONCE)

    def begins_with(self, name: str, number: int) -> str:
        """What stands in a row at first: the checkpoint's own sampler, and two of the papers', or a student's."""
        student = self.page.offered.load(name).trained.student
        if student is not None:
            own = ["CM_1_0p0", "CM_2_0p0", "CM_4_0p0"] if student.any_start else [student.sampler]
            return [*own, *[""] * MAX_ROWS][number]
        return [default_text(self.page, name), "DDIM_20_0p0", "DDPM_50_0p0", "", "", ""][number]

    def run(self, request: gr.Request, seed: float, count: float, label: str, *cells: str) -> Iterator[dict]:
        """Draws row after row, and shows how far each is."""
        language = language_of(request)
        drawings: list[Drawing] = []
        try:
            drawings = self.plan(seed, count, label, cells)

            def job(tell):
                for number, drawing in enumerate(drawings):
                    drawing.run(lambda taken, number=number: tell((number, taken)))

            yield {self.said: status(say("waiting", language)), self.drawings: drawings}
            for number, taken in self.page.machine.watch(visitor(request, "compare"), job):
                drawing = drawings[number]
                at = {"taken": taken + 1, "steps": drawing.info.steps, "t": drawing.pairs[taken][0]}
                said = f"{drawing.info}: {say('step_of', language, **at)}"
                yield {self.said: status(said), self.table: table(drawings, language)}
            yield self.after(drawings, request)
        except Stopped:
            yield self.after(drawings, request)
        except RequestError as error:
            yield {self.said: problem(told(error, language)), self.drawings: None}

    def plan(self, seed: object, count: object, label: object, cells: Sequence[str]) -> list[Drawing]:
        """A drawing a row. RequestError where one is not possible, or all together are too much."""
        count = whole(count, 1, MOST_COLUMNS, "count")
        seed = whole(seed, 0, LARGEST_SEED, "seed")
        drawings = []
        for name, text, precision in zip(cells[::3], cells[1::3], cells[2::3]):
            if text and str(text).strip():
                trained = self.page.offered.load(name, None, precision).trained
                asked = label or None if trained.num_classes else None
                trained = self.page.offered.load(name, asked, precision).trained
                drawings.append(Drawing(trained, sampler_within(self.page.limits, text, trained), seed, count))
        if not drawings:
            raise refused("no_row")
        check_work(self.page.limits, count, sum(drawing.calls for drawing in drawings))
        return drawings

    def after(self, drawings: list[Drawing], request: gr.Request) -> dict:
        """The rows of a comparison that is over, to its end or stopped before."""
        language = language_of(request)
        ended = all(drawing.finished for drawing in drawings)
        seeds = drawings[0].seeds
        done = say("done", language, count=len(seeds), first=seeds[0], last=seeds[-1])
        said = done if ended else say("stopped_early", language)
        return {self.said: status(said), self.table: table(drawings, language), self.drawings: drawings}


def table(drawings: Sequence[Drawing], language: str) -> str:
    """A row of HTML for each drawing: its name and figures, and its pictures, as far as they are."""
    head = "".join(
        f"<th scope='col'>{escape(say(key, language))}</th>" for key in ("sampler", "pictures", "calls", "seconds")
    )
    rows = []
    for drawing in drawings:
        pictures = drawing.frames[-1, 0] if drawing.finished else drawing.now[0]
        alt = f"{drawing.info}, {say('seeds', language)} {drawing.seeds[0]} - {drawing.seeds[-1]}"
        sheet = figure(grid(pictures, len(pictures)), alt, columns=len(pictures), widest=900)
        name = f"{drawing.trained.name} · {drawing.trained.precision}"
        seconds = f"{drawing.seconds:.2f}" if drawing.finished else "…"
        rows.append(
            f"<tr><th scope='row'><code>{escape(str(drawing.info))}</code><small>{escape(name)}</small></th>"
            f"<td>{sheet}</td><td>{drawing.calls:,}</td><td>{seconds}</td></tr>"
        )
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f"<div class='scroll' tabindex='0'><table class='compared'>{body}</table></div>"
