"""Where a picture comes from: the data set by number, drawn by seed, a file, or a hand; it is on a canvas then."""

from collections.abc import Iterator

import gradio as gr
import numpy as np
import torch

from page.canvas import canvas, shown
from page.controls import AT_ONCE, IN_TURN, Page, SamplerControls, seed_number, visitor
from page.drawing import Drawing
from page.limits import LARGEST_SEED, check_work, sampler_within, whole
from page.machine import Stopped
from page.markup import problem, status
from page.offered import Model
from page.refusals import told
from page.words import language_of, say, word
from sampling.real_labels import labels_of
from utils.errors import RequestError


class Chooser:
    """A canvas, and beside it what puts a picture on it."""

    def __init__(self, page: Page, root: gr.Blocks, tab: str, controls: SamplerControls, *, number: int, masks: bool):
        self.page, self.tab = page, tab
        self.canvas = canvas(f"{tab}_canvas", masks=masks)
        with gr.Row(elem_classes="sources"):
            self.number = seed_number(tab, number, "number_or_seed")
            from_data = gr.Button(word("from_data"), size="sm", min_width=90, elem_id=f"{tab}_from_data")
            by_seed = gr.Button(word("by_seed"), size="sm", min_width=90, elem_id=f"{tab}_by_seed")
        self.said = gr.HTML(elem_id=f"{tab}_said")
        outputs = [self.said, self.canvas]
        from_data.click(self.from_data, [controls.model, self.number], outputs, **AT_ONCE)
        by_seed.click(self.by_seed, [*controls.chosen, self.number], outputs, show_progress_on=self.said, **IN_TURN)
        gr.on([root.load, controls.model.change], self.first, [controls.model, self.number], outputs, **AT_ONCE)

    def first(self, name: str, number: float, request: gr.Request) -> list[str]:
        """A picture to begin with: of the data where they are here, else black."""
        try:
            model = self.page.offered.load(name)
        except RequestError as error:
            return [problem(told(error, language_of(request))), gr.skip()]
        try:
            return ["", real(model, number)]
        except RequestError:
            return ["", shown(torch.zeros(model.trained.shape, dtype=torch.uint8), None)]

    def from_data(self, name: str, number: float, request: gr.Request) -> list[str]:
        """The picture of that number of those that the checkpoint was trained on."""
        try:
            return ["", real(self.page.offered.load(name), number)]
        except RequestError as error:
            return [problem(told(error, language_of(request))), gr.skip()]

    def by_seed(self, name: str, precision: str, text: str, seed: float, request: gr.Request) -> Iterator[list[str]]:
        """The picture that is drawn for that seed."""
        language = language_of(request)
        try:
            trained = self.page.offered.load(name, None, precision).trained
            info = sampler_within(self.page.limits, text, trained)
            drawing = Drawing(trained, info, whole(seed, 0, LARGEST_SEED, "number_or_seed"), 1)
            check_work(self.page.limits, 1, drawing.calls)
            for taken in self.page.machine.watch(visitor(request, self.tab), drawing.run):
                at = {"taken": taken + 1, "steps": info.steps, "t": drawing.pairs[taken][0]}
                yield [status(say("step_of", language, **at)), gr.skip()]
            labels = trained.labels_of(drawing.seeds)
            yield ["", shown(drawing.frames[-1, 0, 0], labels[0] if labels else None)]
        except Stopped:
            yield ["", gr.skip()]
        except RequestError as error:
            yield [problem(told(error, language)), gr.skip()]


def real(model: Model, number: object) -> str:
    """The canvas's value for the picture of that number, counted from 0, of the model's data. RequestError if there is none."""
    data = model.pictures()
    number = whole(number, 0, len(data.images) - 1, "number_or_seed")
    label = labels_of(model.trained, data, np.array([number]))
    known = label is not None and int(label[0]) < model.trained.num_classes
    return shown(torch.from_numpy(data.images[number].copy()), int(label[0]) if known else None)
