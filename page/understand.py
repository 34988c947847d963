"""The tab Understand: one picture's way from noise, the schedule it goes along, and the way a picture becomes noise."""

from collections.abc import Iterator

import gradio as gr
import numpy as np
import torch

from datasets import to_float, to_uint8
from diffusion.schedules import half_log_snr
from page.controls import AT_ONCE, IN_TURN, STATE_SECONDS, Page, connect_stop, sampler_controls, seed_number, visitor
from page.curves import Line, chart, charts
from page.drawing import Drawing
from page.limits import LARGEST_SEED, LARGEST_TIME, check_work, sampler_within, whole
from page.machine import Stopped
from page.markup import facts, figure, problem, side_by_side, status
from page.refusals import told
from page.words import language_of, say, word
from sampling import Trained
from utils.errors import RequestError
from utils.seeds import PictureNoise

CURVE_POINTS = 200


class UnderstandTab:
    """The tab's components and events."""

    def __init__(self, page: Page, root: gr.Blocks):
        self.page = page
        gr.Markdown(word("understand_intro"))
        controls = sampler_controls(page, "understand")
        with gr.Row():
            with gr.Column(min_width=300):
                gr.Markdown(word("from_noise"))
                seed = seed_number("understand", label="one_seed")
                with gr.Row():
                    go = gr.Button(word("follow"), variant="primary", elem_id="understand_go")
                    stop = gr.Button(word("stop"), elem_id="understand_stop")
                self.said = gr.HTML(elem_id="understand_status", min_height=40)
                self.place = gr.Slider(0, 1, 0, step=1, label=word("scrub"), visible=False, elem_id="understand_place")
                self.way = gr.HTML(elem_id="understand_way")
            with gr.Column(min_width=300):
                gr.Markdown(word("to_noise"))
                number = gr.Number(0, label=word("number"), precision=0, minimum=0, elem_id="understand_number")
                self.time = gr.Slider(0, 1000, 300, step=1, label=word("noise_steps"), elem_id="understand_time")
                self.noised = gr.HTML(elem_id="understand_noised")
        self.curves = gr.HTML(elem_id="understand_curves")
        self.drawing = gr.State(None, time_to_live=STATE_SECONDS)
        outputs = [self.said, self.place, self.way, self.drawing, self.curves]
        event = go.click(self.run, [*controls.chosen, seed], outputs, show_progress_on=self.said, **IN_TURN)
        connect_stop(page, "understand", stop, event, self.said, outputs, self.drawing, self.after)
        self.place.input(self.step, [self.drawing, self.place], [self.way, self.curves], **AT_ONCE)
        asked = [controls.model, number, self.time]
        gr.on(
            [root.load, controls.model.change, number.input, self.time.input], self.noise, asked,
            [self.noised, self.time], **AT_ONCE,
        )  # fmt: skip
        gr.on(
            [root.load, controls.text.change, controls.model.change], self.schedule, [controls.model, controls.text],
            self.curves, **AT_ONCE,
        )  # fmt: skip

    def run(self, name: str, precision: str, text: str, seed: float, request: gr.Request) -> Iterator[dict]:
        """Draws one picture, and keeps its way."""
        language = language_of(request)
        drawing = None
        try:
            trained = self.page.offered.load(name, None, precision).trained
            info = sampler_within(self.page.limits, text, trained)
            drawing = Drawing(trained, info, whole(seed, 0, LARGEST_SEED, "one_seed"), 1)
            check_work(self.page.limits, 1, drawing.calls)
            yield {self.said: status(say("waiting", language)), self.drawing: drawing}
            for taken in self.page.machine.watch(visitor(request, "understand"), drawing.run):
                at = {"taken": taken + 1, "steps": info.steps, "t": drawing.pairs[taken][0]}
                yield {self.said: status(say("step_of", language, **at)), self.way: pair(drawing.now, language)}
            yield self.after(drawing, request)
        except Stopped:
            yield self.after(drawing, request)
        except RequestError as error:
            yield {self.said: problem(told(error, language))}

    def after(self, drawing: Drawing, request: gr.Request) -> dict:
        """The way of a picture that is over, to its end or stopped before, at its middle."""
        language = language_of(request)
        last = max(0, drawing.reached - 1)
        way, curves = self.step(drawing, last // 2, request)
        return {
            self.said: status(say("way_done" if drawing.finished else "stopped_early", language)),
            self.place: gr.update(visible=last > 0, maximum=max(1, last), value=last // 2),
            self.way: way,
            self.curves: curves,
            self.drawing: drawing,
        }

    def step(self, drawing: Drawing | None, place: float, request: gr.Request) -> list[str]:
        """x_t, the prediction and the figures at one of the moments, and where it lies on the schedule."""
        language = language_of(request)
        if drawing is None or not drawing.reached:
            return [status(say("nothing_yet", language)), gr.skip()]
        place = whole(place, 0, drawing.reached - 1, "scrub")
        trained, taken = drawing.trained, drawing.moments[place]
        t = drawing.pairs[taken][0] if taken < drawing.info.steps else -1
        figures = {say("steps", language): f"{taken} / {drawing.info.steps}", **noise_facts(trained, t)}
        view = pair(drawing.frames[place], language) + facts(figures)
        return [view, schedule_curves(trained, [t for t, _ in drawing.pairs], language, t)]

    def noise(self, name: str, number: float, steps: float, request: gr.Request) -> list:
        """A real picture after so many steps of noise; and the slider, which ends where the training's steps do."""
        language = language_of(request)
        try:
            model = self.page.offered.load(name)
            trained, data = model.trained, model.pictures()
            number = whole(number, 0, len(data.images) - 1, "number")
            t = min(whole(steps, 0, LARGEST_TIME, "noise_steps"), trained.diffusion.timestep_num) - 1
            picture = torch.from_numpy(data.images[number][None].copy())
        except RequestError as error:
            return [problem(told(error, language)), gr.skip()]
        x_0 = to_float(picture)
        noise = PictureNoise([number])(x_0)
        alpha_bar = trained.diffusion.alpha_bar(t)
        x_t = alpha_bar**0.5 * x_0 + (1 - alpha_bar) ** 0.5 * noise  # on the CPU: the device is not asked for it
        names = [say("real", language), say("after_noise", language, steps=t + 1)]
        views = side_by_side(
            *(figure(each, n, n, widest=224) for each, n in zip((picture[0], to_uint8(x_t)[0]), names))
        )
        return [views + facts(noise_facts(trained, t)), gr.update(maximum=trained.diffusion.timestep_num)]

    def schedule(self, name: str, text: str, request: gr.Request) -> str:
        """The schedule's curves with the sampler's steps on them; they stay as they are while the string cannot be read."""
        try:
            trained = self.page.offered.load(name).trained
            info = sampler_within(self.page.limits, text, trained)
        except RequestError:
            return gr.skip()
        steps = [t for t, _ in info.pairs_on(trained.diffusion)]
        return schedule_curves(trained, steps, language_of(request))


def pair(pictures: torch.Tensor, language: str) -> str:
    """x_t and the prediction of x_0 of one picture; uint8 (2, 1, C, H, W)."""
    names = [say("x_t", language), say("x_0", language)]
    return side_by_side(*(figure(side[0], name, name, widest=224) for side, name in zip(pictures, names)))


def noise_facts(trained: Trained, t: int) -> dict[str, str]:
    """What the schedule says of t; -1 is clean."""
    alpha_bar = trained.diffusion.alpha_bar(t)
    snr = "∞" if alpha_bar == 1 else f"{2 * float(half_log_snr(torch.tensor([alpha_bar]).double())[0]):.2f}"
    return {"t": str(t), "alpha_bar": f"{alpha_bar:.4f}", "sigma": f"{(1 - alpha_bar) ** 0.5:.4f}", "log SNR": snr}


def schedule_curves(trained: Trained, steps: list[int], language: str, now: int = -1) -> str:
    """alpha_bar and log SNR by t, with a dot at each of the sampler's `steps`, and a ring round the one of `now`."""
    diffusion = trained.diffusion
    times = np.unique(np.linspace(0, diffusion.timestep_num - 1, CURVE_POINTS).round().astype(int)).tolist()

    def line(name: str, height) -> Line:
        peak = (now, height(now)) if now >= 0 else None
        return Line(name, [(t, height(t)) for t in times], [(t, height(t)) for t in steps], peak)

    def log_snr(t: int) -> float:
        return 2 * float(half_log_snr(torch.tensor([diffusion.alpha_bar(t)], dtype=torch.float64))[0])

    return charts(
        chart([line("alpha_bar", diffusion.alpha_bar)], say("curve_alpha_bar", language, steps=len(steps)), "t"),
        chart([line("log SNR", log_snr)], say("curve_log_snr", language), "t"),
    )
