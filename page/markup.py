"""Pictures, figures and messages as HTML. Whatever comes from a file or a visitor is escaped here."""

import io
from html import escape

from torch import Tensor

from utils.pictures import READABLE, write_png
from utils.plots import data_uri

WIDEST = 560  # pixels that a sheet of pictures takes on a screen that has them


def picture_uri(picture: Tensor) -> str:
    """uint8 (C, H, W) as an address that holds it."""
    file = io.BytesIO()
    write_png(file, picture)
    return data_uri(file.getvalue(), "image/png")


def figure(picture: Tensor, alt: str, caption: str = "", *, columns: int = 1, widest: int = WIDEST) -> str:
    """A picture, enlarged by the browser without smoothing: by a whole factor, to `widest` pixels at the most.

    `columns`: of how many it consists; of several, each becomes about twice as wide as it has to be to be seen.
    """
    width = picture.shape[-1]
    wanted = widest if columns == 1 else min(widest, 2 * READABLE * columns)
    scale = max(1, round(wanted / width))
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="pixels" style="--width:{width * scale}px"><img src="{picture_uri(picture)}" alt="{escape(alt)}" '
        f'width="{width * scale}" height="{picture.shape[-2] * scale}">{below}</figure>'
    )


def side_by_side(*figures: str) -> str:
    """Figures in a row, or beneath each other where there is no room."""
    return f'<div class="row{" two" if len(figures) == 2 else ""}">{"".join(figures)}</div>'


def status(text: str) -> str:
    """What is being done, or was: read out by a screen reader when it changes."""
    return f'<p class="status" role="status">{escape(text)}</p>'


def problem(text: str) -> str:
    """What was wrong with a request, and what would be right."""
    return f'<p class="problem" role="alert">{escape(text)}</p>'


def facts(pairs: dict[str, str]) -> str:
    """Named figures beside each other."""
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs.items())
    return f'<dl class="facts">{cells}</dl>'


def command(text: str, label: str) -> str:
    """A command line, to be copied."""
    return f'<div class="command"><span>{escape(label)}</span><code tabindex="0">{escape(text)}</code></div>'
