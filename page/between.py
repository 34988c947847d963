"""The tab Between: what lies between two pictures, by the three ways of mixing them, with a slider from one to the other."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import gradio as gr
import torch
from torch import Tensor

from diffusion import SampleInfo, pairs_from
from page.canvas import Drawn, read
from page.chooser import Chooser
from page.controls import (
    AT_ONCE,
    IN_TURN,
    STATE_SECONDS,
    Page,
    SamplerControls,
    connect_stop,
    sampler_controls,
    visitor,
)
from page.curves import Line, chart
from page.limits import check_work, sampler_within, share, whole
from page.machine import Stopped, adding_up
from page.markup import figure, problem, side_by_side, status
from page.refusals import refused, told
from page.words import language_of, say, word
from sampling import Trained
from sampling.inpainting import steps_of_noise
from sampling.interpolation import MODES, changes, interpolate, steps_in_all
from utils.errors import RequestError
from utils.pictures import grid

COEFFICIENTS = 11
STEPS = 50  # of the sampler that the tab begins with


class Between(NamedTuple):
    """What was drawn: for each of the `modes`, uint8 (COEFFICIENTS, C, H, W); and the two `ends`, uint8 (C, H, W)."""

    ways: dict[str, Tensor]
    ends: tuple[Tensor, Tensor]


class BetweenTab:
    """The tab's components and events."""

    def __init__(self, page: Page, root: gr.Blocks):
        self.page = page
        gr.Markdown(word("between_intro"))
        with gr.Row():
            with gr.Column(min_width=300):
                controls = sampler_controls(page, "between", own=partial(begins_with, page))
            with gr.Column(min_width=300):
                modes = gr.CheckboxGroup(list(MODES), value=list(MODES), label=word("modes"), elem_id="between_modes")
                noise = gr.Slider(0.1, 1, 0.5, step=0.05, label=word("noise_share"), elem_id="between_noise")
        with gr.Row():
            ends = [self.end(page, root, side, controls, number) for side, number in (("first", 14), ("second", 3))]
        with gr.Row():
            go = gr.Button(word("go_between"), variant="primary", elem_id="between_go")
            stop = gr.Button(word("stop"), elem_id="between_stop")
        self.said = gr.HTML(elem_id="between_status", min_height=40)
        self.slider = gr.Slider(
            0, COEFFICIENTS - 1, 0, step=1, label=word("between_slider"), visible=False, elem_id="between_slider"
        )
        self.at = gr.HTML(elem_id="between_at")
        self.strips = gr.HTML(elem_id="between_strips")
        self.found = gr.State(None, time_to_live=STATE_SECONDS)
        outputs = [self.said, self.slider, self.at, self.strips, self.found]
        event = go.click(
            self.run, [*controls.chosen, modes, noise, *(end.canvas for end in ends)], outputs,
            show_progress_on=self.said, **IN_TURN,
        )  # fmt: skip
        connect_stop(page, "between", stop, event, self.said)
        self.slider.input(self.show, [self.found, self.slider], self.at, **AT_ONCE)

    def end(self, page: Page, root: gr.Blocks, side: str, controls: SamplerControls, number: int) -> Chooser:
        """One of the two pictures."""
        with gr.Column(min_width=300):
            gr.Markdown(word(f"between_{side}"))
            return Chooser(page, root, f"between_{side}", controls, number=number, masks=False)

    def run(
        self, name: str, precision: str, text: str, modes: list[str], noise_share: float, first: str, second: str,
        request: gr.Request,
    ) -> Iterator[dict]:  # fmt: skip
        """Draws what lies between the two, way after way."""
        language = language_of(request)
        try:
            trained = self.page.offered.load(name, None, precision).trained
            info = sampler_within(self.page.limits, text, trained)
            modes, ends = checked_modes(modes, info, trained), (read(first, trained), read(second, trained))
            steps = {mode: noise_steps(mode, noise_share, trained) for mode in modes}
            check_work(self.page.limits, 1, sum(calls_in_all(trained, info, mode, steps[mode]) for mode in modes))
            total = sum(steps_in_all(trained.diffusion, info, mode, steps[mode], 1, COEFFICIENTS) for mode in modes)
            ways = {}

            def job(tell):
                advance = adding_up(tell)
                for mode in modes:
                    ways[mode] = draw_between(trained, info, mode, steps[mode], ends, advance)

            yield {self.said: status(say("waiting", language))}
            for done in self.page.machine.watch(visitor(request, "between"), job):
                yield {self.said: status(say("share_of", language, share=done / total))}
            found = Between(ways, (ends[0].picture, ends[1].picture))
            middle = COEFFICIENTS // 2
            yield {
                self.said: status(say("between_done", language)),
                self.slider: gr.update(visible=True, value=middle),
                self.at: self.show(found, middle, request),
                self.strips: strips(found, language),
                self.found: found,
            }
        except Stopped:
            yield {self.said: status(say("stopped_early", language))}
        except RequestError as error:
            yield {self.said: problem(told(error, language))}

    def show(self, found: Between | None, place: float, request: gr.Request) -> str:
        """The two pictures, and what lies between them at one place, each way."""
        language = language_of(request)
        if found is None:
            return status(say("nothing_yet", language))
        place = whole(place, 0, COEFFICIENTS - 1, "between_slider")
        names = [say("between_first_name", language), *found.ways, say("between_second_name", language)]
        pictures = [found.ends[0], *(way[place] for way in found.ways.values()), found.ends[1]]
        captions = [names[0], *(f"{mode}, {place / (COEFFICIENTS - 1):.1f}" for mode in found.ways), names[-1]]
        return side_by_side(*(figure(each, text, text, widest=180) for each, text in zip(pictures, captions)))


def begins_with(page: Page, name: object) -> str:
    """A sampler that adds no noise and does not guide, so that a latent leads back to its picture, as ddim needs it.

    A student's own adds noise: it has no way back.
    """
    trained = page.offered.load(name).trained
    return trained.student.sampler if trained.student else f"DDIM_{min(STEPS, trained.diffusion.timestep_num)}_0p0"


def checked_modes(modes: object, info: SampleInfo, trained: Trained) -> list[str]:
    """The ways of mixing. RequestError for others, for none, and for ddim where the sampler adds noise."""
    if not isinstance(modes, list) or not modes or not all(mode in list(MODES) for mode in modes):
        raise refused("ways", modes=", ".join(MODES))
    if "ddim" in modes and trained.student:
        raise refused("student", name=trained.name)
    if "ddim" in modes and info.adds_noise:
        raise refused("adds_noise", steps=info.steps, info=info)
    return [mode for mode in MODES if mode in modes]


def noise_steps(mode: str, noise_share: object, trained: Trained) -> int:
    """How many steps of noise the two are mixed at: that share of them; ddim: all."""
    of_noise = share(noise_share, "noise_share")
    timestep_num = trained.diffusion.timestep_num
    return timestep_num if mode == "ddim" else steps_of_noise(of_noise, timestep_num)


def calls_in_all(trained: Trained, info: SampleInfo, mode: str, steps: int) -> int:
    """The network's, for what lies between one pair; ddim encodes both ends as well, looking once a step."""
    jumps = pairs_from(steps - 1, info.pairs_on(trained.diffusion))
    encoding = 2 * replace(info, method="DDIM").network_calls_on(jumps) if mode == "ddim" else 0
    return COEFFICIENTS * info.network_calls_on(jumps) + encoding


def draw_between(
    trained: Trained, info: SampleInfo, mode: str, steps: int, ends: tuple[Drawn, Drawn], advance
) -> Tensor:
    """uint8 (COEFFICIENTS, C, H, W); each end of its own class, or of none."""
    labels = None
    if trained.num_classes:
        labels = tuple(torch.tensor([trained.num_classes if end.label is None else end.label]) for end in ends)
    return interpolate(
        trained.network, trained.diffusion, info, ends[0].picture[None], ends[1].picture[None], mode=mode, seeds=[0],
        coefficients=torch.linspace(0, 1, COEFFICIENTS).tolist(), noise_steps=steps, batch_size=trained.batch_size,
        device=trained.device, advance=advance, labels=labels, num_classes=trained.num_classes,
    )[:, 0]  # fmt: skip


def strips(found: Between, language: str) -> str:
    """All that lies between, a row a way, and how much changes from each picture to the next, its largest jump marked."""
    rows = [
        figure(grid(way, len(way)), f"{mode}: 0 ... 1", mode, columns=len(way), widest=1100)
        for mode, way in found.ways.items()
    ]
    return "".join(f'<div class="strip">{row}</div>' for row in rows) + chart(
        [change_line(mode, way) for mode, way in found.ways.items()],
        say("between_changes", language), say("between_axis", language),
    )  # fmt: skip


def change_line(mode: str, way: Tensor) -> Line:
    """How much each picture differs from the next, half way between the two; the largest one is the peak."""
    change: Sequence[float] = changes(way[:, None])[:, 0].tolist()
    points = [((number + 0.5) / (len(way) - 1), value) for number, value in enumerate(change)]
    return Line(mode, points, points, max(points, key=lambda point: point[1]))
