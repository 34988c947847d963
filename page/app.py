"""The tabs put together into one page, and how it is served."""

import os
import socket
import threading
import time
from pathlib import Path
from typing import NamedTuple

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from page.between import BetweenTab
from page.compare import CompareTab
from page.controls import AT_ONCE, Page
from page.draw import DrawTab
from page.repair import RepairTab
from page.training import TrainingTab
from page.understand import UnderstandTab
from page.words import I18N, language_of, say, word
from utils.errors import RequestError

HERE = Path(__file__).parent
TABS = {
    "draw": DrawTab,
    "compare": CompareTab,
    "between": BetweenTab,
    "repair": RepairTab,
    "understand": UnderstandTab,
    "training": TrainingTab,
}
PORTS = range(7860, 7900)
MOST_WAITING = 500  # events in the queue; more are refused
MOST_VISITORS = 64  # whose pictures are kept at a time
# Else gradio keeps figures of the last 10,000 events, and sums them up anew at each event.
QUIET = {"GRADIO_ANALYTICS_MAX_EVENTS": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000"}
LARGEST_REQUEST = 2**20  # bytes
# Longer than clients and proxies keep an idle connection (5 to 60 seconds): who sends on one just as the server closes it
# gets an error.
IDLE_SECONDS = 75
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "sans-serif"]
# What of gradio's server the page needs; all else is refused: uploads, files, addresses to be fetched, links that are saved.
OPEN = (
    "",
    "config",
    "theme.css",
    "login",
    "login_check",
    "logout",
    "favicon.ico",
    "manifest.json",
    "robots.txt",
    "user",
    "token",
)
OPEN_API = ("startup-events", "cancel", "reset", "info", "app_id")
OPEN_BELOW = ("assets/", "static/", "svelte/", "gradio_api/queue/", "gradio_api/run/", "gradio_api/heartbeat/")


def build(page: Page) -> gr.Blocks:
    """The page, not yet served."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # Values come as they were typed or chosen, to be checked where they are used: gradio rounds them, and knows English alone.
    for kind in (gr.Number, gr.Slider, gr.Dropdown, gr.CheckboxGroup):
        kind.preprocess = lambda control, payload: payload
    with gr.Blocks(title="Diffusion models on small pictures", analytics_enabled=False) as root:
        gr.Markdown(word("headline"), elem_id="headline")
        with gr.Tabs():
            for name, tab in TABS.items():
                with gr.Tab(word(f"tab_{name}"), id=name, elem_id=f"tab_{name}"):
                    tab(page, root)

        def leave(request: gr.Request) -> None:
            page.machine.stop_all(request.session_hash)

        def allowed(request: gr.Request | None = None) -> str:
            return say("limits", language_of(request), **page.limits._asdict())

        limits = gr.Markdown(allowed(), elem_id="limits")
        root.load(allowed, None, limits, **AT_ONCE)
        root.unload(leave)
    return root.queue(max_size=MOST_WAITING)


def serve(root: gr.Blocks, host: str, port: int | None, auth: tuple[str, str] | None) -> "Served":
    """Begins to serve the page, in a thread of its own. RequestError where the host or the port cannot be had."""
    listening = listen(host, port)
    port = listening.getsockname()[1]
    root.state_session_capacity = MOST_VISITORS
    app = gr.mount_gradio_app(
        FastAPI(openapi_url=None, middleware=[Middleware(OnlyWhatIsNeeded)]),
        root,
        path="/",
        server_name=host,
        server_port=port,
        auth=auth,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=1,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        i18n=I18N,
        theme=theme(),
        css=(HERE / "style.css").read_text(encoding="utf-8"),
    )
    config = uvicorn.Config(app, log_level="error", timeout_keep_alive=IDLE_SECONDS, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=[[listening]], daemon=True, name="page")
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    shown = "127.0.0.1" if host in ("0.0.0.0", "") else f"[{host}]" if ":" in host else host
    return Served(f"http://{shown}:{port}/", server, thread)


class Served(NamedTuple):
    """The page where it is served: `close` ends it."""

    address: str
    server: uvicorn.Server
    thread: threading.Thread

    def close(self) -> None:
        """Serves no more, and waits for it."""
        self.server.should_exit = True
        self.thread.join(10)


def listen(host: str, port: int | None) -> socket.socket:
    """A socket at the port, or at the first free one of `PORTS`. RequestError where there is none, or no such host."""
    try:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise RequestError(
            f"--host {host}: {error.strerror or error}; 127.0.0.1 is this machine, 0.0.0.0 all its addresses"
        ) from None
    for each in PORTS if port is None else (port,):
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name != "nt":  # where it would let two programs have the same port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, each))
            listening.listen(128)
            return listening
        except OSError as error:
            listening.close()
            why = error.strerror or error
    raise RequestError(f"--port {port or f'{PORTS[0]} to {PORTS[-1]}'} at {host}: {why}; choose another --port")


def theme() -> gr.themes.Base:
    """The system's fonts, none of which is fetched; colours that differ enough from their ground."""
    look = gr.themes.Default(
        font=FONTS,
        font_mono=["ui-monospace", "monospace"],
        primary_hue="indigo",
        secondary_hue="indigo",
        neutral_hue="slate",
    )
    return look.set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_text_color="white",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
    )


class OnlyWhatIsNeeded:
    """Refuses, before gradio sees them, requests for what the page has no use for, and those that are too large."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].strip("/")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        is_open = (
            path in OPEN or path in [f"gradio_api/{name}" for name in OPEN_API] or f"{path}/".startswith(OPEN_BELOW)
        )
        if not is_open:
            await _refuse(send, 404)
        elif not length.isdigit() or int(length) > LARGEST_REQUEST:
            await _refuse(send, 413)
        else:
            await self.app(scope, receive, send)


async def _refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
