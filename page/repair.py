"""The tab Repair and edit: a picture with a hole that is filled in, or a rough drawing that is drawn anew."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import gradio as gr
import torch

from page.canvas import Drawn, read
from page.chooser import Chooser
from page.controls import (
    IN_TURN,
    Page,
    class_dropdown,
    connect_stop,
    default_text,
    follow_classes,
    sampler_controls,
    visitor,
)
from page.limits import LARGEST_SEED, check_work, classes_within, sampler_within, share, whole
from page.machine import Stopped, adding_up
from page.markup import figure, problem, side_by_side, status
from page.refusals import refused, told
from page.words import language_of, say, word
from sampling import Trained
from sampling.inpainting import edit, edit_pairs, inpaint, result_seeds
from utils.errors import RequestError
from utils.pictures import grid, near_square

MOST_RESULTS = 16


class RepairTab:
    """The tab's components and events."""

    def __init__(self, page: Page, root: gr.Blocks):
        self.page = page
        gr.Markdown(word("repair_intro"))
        with gr.Row():
            with gr.Column(min_width=300):
                controls = sampler_controls(page, "repair", resamples=True, own=partial(default_text, page))
                label = class_dropdown("repair")
                with gr.Row():
                    results = gr.Number(
                        6, label=word("results"), precision=0, minimum=1, maximum=MOST_RESULTS, elem_id="repair_results"
                    )
                    seed = gr.Number(0, label=word("seed_of_results"), precision=0, minimum=0, elem_id="repair_seed")
                strength = gr.Slider(
                    0.05,
                    1,
                    0.6,
                    step=0.05,
                    label=word("strength"),
                    info=word("strength_info"),
                    elem_id="repair_strength",
                )
            with gr.Column(min_width=300):
                chooser = Chooser(page, root, "repair_picture", controls, number=9, masks=True)
        with gr.Row():
            fill = gr.Button(word("inpaint"), variant="primary", elem_id="repair_inpaint")
            change = gr.Button(word("edit"), variant="primary", elem_id="repair_edit")
            stop = gr.Button(word("stop"), elem_id="repair_stop")
        self.said = gr.HTML(elem_id="repair_status", min_height=40)
        self.view = gr.HTML(elem_id="repair_view")
        follow_classes(page, root, controls.model, label, of_picture=True)
        asked = [*controls.chosen, chooser.canvas, label, results, seed, strength]
        outputs = [self.said, self.view]
        events = [
            button.click(action, asked, outputs, show_progress_on=self.said, **IN_TURN)
            for button, action in ((fill, self.inpaint), (change, self.edit))
        ]
        connect_stop(page, "repair", stop, events, self.said)

    def inpaint(
        self, name: str, precision: str, text: str, value: str, label: str, results: float, seed: float, strength: float,
        request: gr.Request,
    ) -> Iterator[dict]:  # fmt: skip
        """Fills in what is marked."""
        yield from self.run("inpaint", name, precision, text, value, label, results, seed, strength, request)

    def edit(
        self, name: str, precision: str, text: str, value: str, label: str, results: float, seed: float, strength: float,
        request: gr.Request,
    ) -> Iterator[dict]:  # fmt: skip
        """Noises all of it and draws it anew."""
        yield from self.run("edit", name, precision, text, value, label, results, seed, strength, request)

    def run(
        self, what: str, name: str, precision: str, text: str, value: str, label: str, results: object, seed: object,
        strength: object, request: gr.Request,
    ) -> Iterator[dict]:  # fmt: skip
        """Draws the results together, and says how far it is."""
        language = language_of(request)
        try:
            trained = self.page.offered.load(name, None, precision).trained
            info = sampler_within(self.page.limits, text, trained, resamples=what == "inpaint")
            drawn = with_class(read(value, trained), label, trained)
            count = whole(results, 1, MOST_RESULTS, "results")
            seeds = result_seeds([whole(seed, 0, LARGEST_SEED, "seed_of_results")], count)
            how = {
                "seeds": seeds,
                "batch_size": trained.batch_size,
                "device": trained.device,
                **label_of(drawn, trained, count),
            }
            pictures = drawn.picture.repeat(count, 1, 1, 1)
            if what == "inpaint":
                check_mask(drawn)
                pairs = info.walk(info.pairs_on(trained.diffusion))
                work = partial(inpaint, masks=drawn.mask.repeat(count, 1, 1, 1), **how)
            else:
                strength = share(strength, "strength")
                pairs = edit_pairs(trained.diffusion, info, strength)
                work = partial(edit, strength=strength, **how)
            check_work(self.page.limits, count, replace(info, resamplings=1).network_calls_on(pairs))
            found = None

            def job(tell):
                nonlocal found
                found = work(trained.network, trained.diffusion, info, pictures, advance=adding_up(tell))

            yield {self.said: status(say("waiting", language))}
            for done in self.page.machine.watch(visitor(request, "repair"), job):
                yield {self.said: status(say("share_of", language, share=done / (count * len(pairs))))}
            yield {
                self.said: status(say(f"{what}_done", language, count=count)),
                self.view: shown(drawn, found, language),
            }
        except Stopped:
            yield {self.said: status(say("stopped_early", language))}
        except RequestError as error:
            yield {self.said: problem(told(error, language))}


def with_class(drawn: Drawn, label: object, trained: Trained) -> Drawn:
    """`drawn` as of the class that is asked for, if one is."""
    if label == "":
        return drawn
    return drawn._replace(label=classes_within(label, trained.num_classes, trained.classes.names)[0])


def label_of(drawn: Drawn, trained: Trained, count: int) -> dict[str, object]:
    """What `inpaint` and `edit` are told of the class: the null label where it has none."""
    if not trained.num_classes:
        return {}
    label = trained.num_classes if drawn.label is None else drawn.label
    return {"labels": torch.full((count,), label), "num_classes": trained.num_classes}


def check_mask(drawn: Drawn) -> None:
    """RequestError if nothing is to be filled in, or nothing is known."""
    if not drawn.mask.any():
        raise refused("nothing_marked")
    if drawn.mask.all():
        raise refused("all_marked")


def shown(drawn: Drawn, results: torch.Tensor, language: str) -> str:
    """The picture, what of it is marked in grey, and the results."""
    given = drawn.picture.masked_fill(drawn.mask, 128)
    columns = near_square(len(results))
    caption = say("results", language)
    return side_by_side(
        figure(given, say("given", language), say("given", language), widest=224),
        figure(grid(results, columns), caption, caption, columns=columns),
    )
