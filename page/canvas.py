"""A picture in the browser that can be drawn on, and what of it comes back to the server.

What is read from a file is read by the browser: only the pixels come here, at the network's own size, and are checked.
"""

import base64
import binascii
import json
from pathlib import Path
from typing import NamedTuple

import gradio as gr
import torch
from torch import Tensor

from page.refusals import refused
from page.words import WORDS
from sampling import Trained

HERE = Path(__file__).parent
LARGEST_VALUE = 2**20  # letters


class Drawn(NamedTuple):
    """picture: uint8 (C, H, W); mask: bool (1, H, W), True where it is to be filled in; label: its class, or None."""

    picture: Tensor
    mask: Tensor
    label: int | None


def canvas(elem_id: str, *, masks: bool) -> gr.HTML:
    """A canvas, with or without the tools by which pixels are marked."""
    template = (HERE / "canvas.html").read_text(encoding="utf-8").replace("NAME", f"{elem_id}_tool")
    return gr.HTML(
        "",
        html_template=template,
        js_on_load=(HERE / "canvas.js").read_text(encoding="utf-8"),
        words={key: texts for key, texts in WORDS.items() if key.startswith("canvas_")},
        elem_id=elem_id,
        elem_classes=[] if masks else ["without-masks"],
    )


def shown(picture: Tensor, label: int | None) -> str:
    """The canvas's value for a picture, uint8 (C, H, W), nothing of which is marked."""
    channels, height, width = picture.shape
    pixels = picture.permute(1, 2, 0).contiguous().numpy().tobytes()
    value = {
        "height": height,
        "width": width,
        "channels": channels,
        "pixels": _encoded(pixels),
        "mask": _encoded(bytes(height * width)),
        "label": label,
    }
    return json.dumps(value)


def read(value: object, trained: Trained) -> Drawn:
    """What is on the canvas. RequestError where it is nothing, or not of the size and the classes of the network."""
    channels, height, width = trained.shape
    try:
        if not isinstance(value, str) or len(value) > LARGEST_VALUE:
            raise ValueError
        given = json.loads(value)
        pixels = base64.b64decode(given["pixels"], validate=True)
        mask = base64.b64decode(given["mask"], validate=True)
        label = given["label"]
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        raise refused("no_picture") from None
    if len(pixels) != channels * height * width or len(mask) != height * width:
        raise refused("other_size", height=height, width=width)
    if label is not None and (type(label) is not int or not 0 <= label < max(1, trained.num_classes)):
        raise refused("other_class")
    picture = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(height, width, channels).permute(2, 0, 1)
    marked = torch.frombuffer(bytearray(mask), dtype=torch.uint8).view(1, height, width) > 0
    return Drawn(picture.contiguous(), marked, label)


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
