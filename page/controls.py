"""The checkpoint, its sampler as controls and as a string, each of which follows the other; and what an event needs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import gradio as gr

from diffusion import SampleInfo
from diffusion.sample_info import DETERMINISTIC, METHODS, TUNED, WITH_ETA, Guidance
from diffusion.schedules import SPACINGS
from page.limits import LARGEST_SEED, LARGEST_TIME, Limits, finite, sampler_within, whole
from page.machine import Machine
from page.markup import problem, status
from page.offered import PRECISIONS, Offered
from page.refusals import told
from page.words import language_of, say, word
from sampling.labels import ALL
from utils.errors import RequestError

# Events that only look something up or follow a control: at once, without the queue, and the newest wins.
AT_ONCE = {"queue": False, "show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private"}
# Events that compute on the device, which all tabs share: one after the other, with the place in the queue shown.
IN_TURN = {"concurrency_id": "device", "concurrency_limit": 1, "api_visibility": "private"}


STATE_SECONDS = 3600  # that a visitor's pictures are kept for


class Page(NamedTuple):
    """What every tab is given."""

    offered: Offered
    machine: Machine
    limits: Limits


class SamplerControls(NamedTuple):
    """The components of a tab with which a checkpoint and a sampler are chosen."""

    model: gr.Dropdown
    precision: gr.Dropdown
    text: gr.Textbox
    method: gr.Dropdown
    steps: gr.Slider
    eta: gr.Slider
    spacing: gr.Dropdown
    scale: gr.Slider
    first: gr.Number
    last: gr.Number
    complaint: gr.HTML

    @property
    def parts(self) -> list[gr.Component]:
        """Those that a string consists of."""
        return [self.method, self.steps, self.eta, self.spacing, self.scale, self.first, self.last]

    @property
    def chosen(self) -> list[gr.Component]:
        """What a drawing is asked for with."""
        return [self.model, self.precision, self.text]


def model_dropdown(page: Page, tab: str) -> gr.Dropdown:
    """The checkpoints by name."""
    names = list(page.offered.models())
    return gr.Dropdown(names, value=names[0], label=word("model"), elem_id=f"{tab}_model", allow_custom_value=True)


def sampler_controls(
    page: Page, tab: str, *, resamples: bool = False, own: Callable[[object], str] | None = None
) -> SamplerControls:
    """The controls of a `tab`, at what its first checkpoint asks for, and their events.

    `own`: a checkpoint's name -> the sampler that the tab begins with, unless it is the checkpoint's default."""
    with gr.Row():
        model = model_dropdown(page, tab)
        precision = gr.Dropdown(list(PRECISIONS), value="auto", label=word("precision"), elem_id=f"{tab}_precision")
    text = gr.Textbox(label=word("sampler"), info=word("sampler_info"), max_lines=1, elem_id=f"{tab}_sampler")
    complaint = gr.HTML(elem_id=f"{tab}_complaint", elem_classes="complaint")
    with gr.Accordion(word("sampler_parts"), open=False, elem_id=f"{tab}_parts"):
        with gr.Row():
            method = gr.Dropdown(list(METHODS), value="DDIM", label=word("method"), elem_id=f"{tab}_method")
            spacing = gr.Dropdown([*SPACINGS, TUNED], value="uniform", label=word("spacing"), elem_id=f"{tab}_spacing")
        steps = gr.Slider(1, page.limits.steps, 50, step=1, label=word("steps"), elem_id=f"{tab}_steps")
        eta = gr.Slider(0, 1, 0, step=0.05, label=word("eta"), elem_id=f"{tab}_eta")
        scale = gr.Slider(0, 5, 1, step=0.1, label=word("scale"), elem_id=f"{tab}_scale")
        with gr.Row():
            first = gr.Number(None, label=word("guide_first"), precision=0, minimum=0, elem_id=f"{tab}_first")
            last = gr.Number(None, label=word("guide_last"), precision=0, minimum=0, elem_id=f"{tab}_last")
    controls = SamplerControls(model, precision, text, method, steps, eta, spacing, scale, first, last, complaint)
    own = own or partial(default_text, page)
    text.value = own(model.value)
    for part, value in zip(controls.parts, parts_of(page, model.value, text.value)):
        for name, setting in value.items():
            if name != "__type__":
                setattr(part, name, setting)

    def follow(name: str, text: str, request: gr.Request) -> list:
        return follow_text(page, name, text, language_of(request), resamples=resamples)

    def write(request: gr.Request, name: str, text: str, *parts: object) -> list:
        return write_text(page, name, text, parts, language_of(request), resamples=resamples)

    asked = [model, text]
    model.change(own, model, text, **AT_ONCE).then(follow, asked, [complaint, *controls.parts], **AT_ONCE)
    text.input(follow, asked, [complaint, *controls.parts], **AT_ONCE)
    for part in controls.parts:
        event = part.release if isinstance(part, gr.Slider) else part.input
        event(write, [*asked, *controls.parts], [complaint, text, eta], **AT_ONCE)
        if isinstance(part, gr.Slider):
            part.input(write, [*asked, *controls.parts], [complaint, text, eta], **AT_ONCE)
    return controls


def default_text(page: Page, name: object) -> str:
    """The sampler that the checkpoint asks for, as far as the page allows it."""
    try:
        return page.offered.load(name).sampler
    except RequestError:
        return "DDIM_50_0p0"


def parts_of(page: Page, name: object, text: object, *, resamples: bool = True) -> list[dict]:
    """What the controls show of the string. RequestError where it cannot be read, or does not fit the checkpoint."""
    trained = page.offered.load(name).trained
    info = sampler_within(page.limits, text, trained, resamples=resamples)
    first, last = info.guidance.interval or (None, None)
    guides = trained.num_classes > 0
    return [
        gr.update(value=info.method),
        gr.update(value=info.steps, maximum=min(page.limits.steps, trained.diffusion.timestep_num)),
        gr.update(value=info.eta, interactive=info.method in WITH_ETA),
        gr.update(value=info.spacing),
        gr.update(value=info.guidance.scale, interactive=guides),
        gr.update(value=first, interactive=guides),
        gr.update(value=last, interactive=guides),
    ]


def follow_text(page: Page, name: object, text: object, language: str, *, resamples: bool) -> list:
    """The controls as the string says; where it cannot be read, its rule, and the controls stay."""
    try:
        return ["", *parts_of(page, name, text, resamples=resamples)]
    except RequestError as error:
        return [problem(told(error, language)), *[gr.skip()] * 7]


def write_text(page: Page, name: object, text: object, parts: tuple, language: str, *, resamples: bool) -> list:
    """The string as the controls say, and eta, which some methods know no choice of."""
    try:
        trained = page.offered.load(name).trained
        written = str(composed(page.limits, parts, _resamplings(text) if resamples else 1))
        info = sampler_within(page.limits, written, trained, resamples=resamples)
    except RequestError as error:
        return [problem(told(error, language)), gr.skip(), gr.skip()]
    return ["", written, gr.update(value=info.eta, interactive=info.method in WITH_ETA)]


def composed(limits: Limits, parts: tuple, resamplings: int) -> SampleInfo:
    """The sampler of the controls' values. RequestError where they are no numbers."""
    method, steps, eta, spacing, scale, first, last = parts
    steps, scale = whole(steps, 1, limits.steps, "steps"), round(finite(scale, "scale"), 4)
    eta = 0.0 if method in DETERMINISTIC else round(finite(eta, "eta"), 4)
    ends = ((first, "guide_first"), (last, "guide_last"))
    interval = None if None in (first, last) else tuple(whole(end, 0, LARGEST_TIME, key) for end, key in ends)
    guidance = Guidance() if scale == 1 else Guidance(scale, interval)
    return SampleInfo(str(method), steps, eta, str(spacing), guidance, resamplings)


def _resamplings(text: object) -> int:
    try:
        return SampleInfo.parse(str(text)).resamplings
    except ValueError:
        return 1


def seed_number(tab: str, number: int = 0, label: str = "seed") -> gr.Number:
    """Which picture is drawn."""
    return gr.Number(
        number, label=word(label), precision=0, minimum=0, maximum=LARGEST_SEED, min_width=120, elem_id=f"{tab}_seed"
    )


def class_dropdown(tab: str) -> gr.Dropdown:
    """Which class is drawn; its choices follow the checkpoint, see `follow_classes`."""
    return gr.Dropdown([("-", "")], value="", label=word("class"), elem_id=f"{tab}_class", allow_custom_value=True)


def follow_classes(
    page: Page, root: gr.Blocks, model: gr.Dropdown, label: gr.Dropdown, *, of_picture: bool = False
) -> None:
    """Has the classes to choose from be those of the checkpoint; hidden where it knows none. `of_picture`: where none is
    chosen, it is the picture's own, not the seed's."""

    def choices(name: str, request: gr.Request) -> dict:
        try:
            trained = page.offered.load(name).trained
        except RequestError:
            return gr.update(visible=False)
        language = language_of(request)
        names = enumerate(trained.class_names)
        known = [(text if text == str(label) else f"{label}: {text}", str(label)) for label, text in names]
        given = [(say("class_by_seed", language), ""), (say("class_all", language), ALL)]
        if of_picture:
            given = [(say("class_of_picture", language), "")]
        return gr.update(choices=[*given, *known], value="", visible=trained.num_classes > 0)

    gr.on([model.change, root.load], choices, model, label, **AT_ONCE)


def visitor(request: gr.Request, tab: str) -> str:
    """Who asks, and in which tab: each browser window is a visitor of its own."""
    return f"{request.session_hash}/{tab}"


def connect_stop(
    page: Page,
    tab: str,
    button: gr.Button,
    events: object,
    said: gr.HTML,
    outputs: Sequence[gr.Component] = (),
    drawn: gr.State | None = None,
    after: Callable[[object, gr.Request], dict] | None = None,
) -> None:
    """Has the `button` end, at the machine's next step, what the tab's `events` draw, and say so in `said`.

    `after(drawn, request)` shows in `outputs` what there is by then, of what is `drawn`, if anything is.
    """

    def stop(request: gr.Request, *found: object) -> dict:
        page.machine.stop(visitor(request, tab))
        if after is not None and found[0]:
            return after(found[0], request)
        return {said: status(say("stopped_early", language_of(request)))}

    button.click(stop, drawn, [said] if after is None else outputs, cancels=events, **AT_ONCE)
