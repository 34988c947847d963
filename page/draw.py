"""The tab Draw: pictures from noise, seen while they come about, gone through afterwards, taken away."""

import base64
from collections.abc import Iterator
from functools import partial

import gradio as gr
from torch import Tensor

from page.controls import (
    AT_ONCE,
    IN_TURN,
    STATE_SECONDS,
    Page,
    class_dropdown,
    connect_stop,
    follow_classes,
    sampler_controls,
    seed_number,
    visitor,
)
from page.drawing import Drawing
from page.limits import LARGEST_SEED, check_work, sampler_within, whole
from page.machine import Stopped
from page.markup import command, facts, figure, problem, side_by_side, status
from page.refusals import told
from page.words import language_of, say, word
from utils.errors import RequestError
from utils.pictures import near_square

DOWNLOADS = {
    "png": ("image/png", "_final.png"),
    "gif": ("image/gif", "_progress.gif"),
    "zip": ("application/zip", ".zip"),
}
SAVE = """(named) => { if (named) { const link = document.createElement('a'); [link.download, link.href] = named.split('|');
  document.body.append(link); link.click(); link.remove(); } return ''; }"""


class DrawTab:
    """The tab's components and events."""

    def __init__(self, page: Page, root: gr.Blocks):
        self.page = page
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                controls = sampler_controls(page, "draw")
                with gr.Row():
                    seed = seed_number("draw")
                    count = gr.Number(
                        16,
                        label=word("count"),
                        precision=0,
                        minimum=1,
                        maximum=page.limits.pictures,
                        elem_id="draw_count",
                    )
                label = class_dropdown("draw")
                with gr.Row():
                    draw = gr.Button(word("draw"), variant="primary", elem_id="draw_go")
                    stop = gr.Button(word("stop"), elem_id="draw_stop")
            with gr.Column(scale=3, min_width=300):
                self.said = gr.HTML(word("hint"), elem_id="draw_status", min_height=40)
                self.view = gr.HTML(elem_id="draw_view")
                self.scrub = gr.Slider(0, 1, 0, step=1, label=word("scrub"), visible=False, elem_id="draw_scrub")
                self.about = gr.HTML(elem_id="draw_about")
                with gr.Row(visible=False, elem_id="draw_downloads") as self.downloads:
                    buttons = {kind: gr.Button(word(kind), size="sm", elem_id=f"draw_{kind}") for kind in DOWNLOADS}
        self.drawing = gr.State(None, time_to_live=STATE_SECONDS)
        parcel = gr.Textbox(visible=False)

        follow_classes(page, root, controls.model, label)
        outputs = [self.said, self.view, self.scrub, self.about, self.downloads, self.drawing]
        asked = [*controls.chosen, seed, count, label]
        go = [draw.click, controls.text.submit, seed.submit, count.submit]
        event = gr.on(go, self.run, asked, outputs, show_progress_on=self.said, **IN_TURN)
        connect_stop(page, "draw", stop, event, self.said, outputs, self.drawing, self.after)
        self.scrub.input(self.moment, [self.drawing, self.scrub], [self.said, self.view], **AT_ONCE)
        for kind, button in buttons.items():
            packed = button.click(partial(pack, kind), self.drawing, parcel, **AT_ONCE)
            packed.then(None, parcel, parcel, js=SAVE)

    def run(
        self, name: str, precision: str, text: str, seed: float, count: float, label: str, request: gr.Request
    ) -> Iterator[dict]:
        """Draws, and shows each step that there is time to show."""
        language = language_of(request)
        hidden = {self.scrub: gr.update(visible=False), self.about: "", self.downloads: gr.update(visible=False)}
        try:
            drawing = plan(self.page, name, precision, text, seed, count, label)
            yield {self.said: status(say("waiting", language)), self.drawing: drawing, **hidden}
            for taken in self.page.machine.watch(visitor(request, "draw"), drawing.run):
                at = {"taken": taken + 1, "steps": drawing.info.steps, "t": drawing.pairs[taken][0]}
                yield {
                    self.said: status(say("step_of", language, **at)),
                    self.view: shown(drawing, drawing.now, language),
                }
            yield self.after(drawing, request)
        except Stopped:
            yield self.after(drawing, request)
        except RequestError as error:
            yield {self.said: problem(told(error, language)), self.view: "", self.drawing: None, **hidden}

    def after(self, drawing: Drawing, request: gr.Request) -> dict:
        """What is shown of a drawing that is over, to its end or stopped before."""
        language, seeds, info = language_of(request), drawing.seeds, drawing.info
        if drawing.finished:
            said = say("done", language, count=len(seeds), first=seeds[0], last=seeds[-1])
        else:
            said = say("stopped", language, taken=drawing.taken, steps=info.steps)
        figures = {
            say("calls", language): f"{drawing.calls:,}",
            say("seconds", language): f"{drawing.seconds:.2f}",
            say("computed_in", language): f"{drawing.trained.precision}, {drawing.trained.device.type}",
        }
        line = command(drawing.command(), say("command", language))
        last = max(0, drawing.reached - 1)
        return {
            self.said: status(said),
            self.view: shown(drawing, drawing.frames[last], language),
            self.scrub: gr.update(visible=drawing.reached > 1, maximum=max(1, last), value=last),
            self.about: (facts(figures) if drawing.finished else "") + line,
            self.downloads: gr.update(visible=drawing.finished),
            self.drawing: drawing,
        }

    def moment(self, drawing: Drawing | None, place: float, request: gr.Request) -> dict:
        """The denoising at one of the moments that were kept."""
        language = language_of(request)
        if drawing is None or not drawing.reached:
            return {self.said: status(say("nothing_yet", language))}
        place = whole(place, 0, drawing.reached - 1, "scrub")
        taken = drawing.moments[place]
        if taken == drawing.info.steps:
            said = say("clean_at", language, steps=taken)
        else:
            t = drawing.pairs[taken][0]
            sigma = (1 - drawing.trained.diffusion.alpha_bar(t)) ** 0.5
            said = say("noise_at", language, steps=taken, t=t, sigma=sigma)
        return {self.said: status(said), self.view: shown(drawing, drawing.frames[place], language)}


def plan(page: Page, name: str, precision: str, text: str, seed: object, count: object, label: object) -> Drawing:
    """The drawing that is asked for. RequestError where it is beyond the limits, or there is no such thing."""
    trained = page.offered.load(name, label or None, precision).trained
    info = sampler_within(page.limits, text, trained)
    count = whole(count, 1, page.limits.pictures, "count")
    seed = whole(seed, 0, LARGEST_SEED, "seed")
    drawing = Drawing(trained, info, seed, count)
    check_work(page.limits, count, drawing.calls)
    return drawing


def shown(drawing: Drawing, pictures: Tensor, language: str) -> str:
    """x_t and the prediction of x_0 beside each other; pictures: uint8 (2, count, C, H, W)."""
    columns = near_square(len(drawing.seeds))
    names = [say("x_t", language), say("x_0", language)]
    if drawing.finished and pictures.data_ptr() == drawing.frames[-1].data_ptr():
        names[0] = say("finished", language)
    sheets = [drawing.sheet(side) for side in pictures]
    return side_by_side(*(figure(sheet, name, name, columns=columns) for sheet, name in zip(sheets, names)))


def pack(kind: str, drawing: Drawing | None) -> str:
    """A download as NAME|ADDRESS, which holds it; nothing where nothing was drawn."""
    if drawing is None or not drawing.finished:
        return ""
    content = {"png": drawing.png, "gif": drawing.gif, "zip": drawing.zip}[kind]()
    mime, ending = DOWNLOADS[kind]
    return f"{drawing.name()}{ending}|data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
