"""The page's server, asked as browsers ask it: what it gives, what it refuses, and who may stop whom."""

import socket
import time
from statistics import median

import httpx
import pytest

from tests.page.served import served, served_by_demo
from tests.page.visitor import Visitor, in_parallel

DIGITS = ["mnist_mini", "fp32", "DDIM_2_0p0", 0, 2, ""]


def asked(**changes):
    names = ("model", "precision", "sampler", "seed", "count", "label")
    return [changes.get(name, value) for name, value in zip(names, DIGITS)]


def said(messages):
    """The status line of the last answer, and the pictures' HTML."""
    assert messages[-1]["success"], messages[-1]["output"]
    return messages[-1]["output"]["data"][:2]


@pytest.fixture(scope="module")
def asked_for():
    """The hosts whose addresses this process looks up."""
    found, look_up = [], socket.getaddrinfo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            socket, "getaddrinfo", lambda host, *rest, **more: found.append(host) or look_up(host, *rest, **more)
        )
        yield found


@pytest.fixture(scope="module")
def server(asked_for):
    with served() as page:
        yield page


def test_visitors_have_their_own_seeds_and_pictures(server):
    seeds = [0, 10, 0, 20]
    answers = in_parallel(4, lambda i: said(Visitor(server.address).ask("draw_go", "click", asked(seed=seeds[i]))))
    assert [f"seeds {seed} to {seed + 1}" in line for seed, (line, _) in zip(seeds, answers)] == [True] * 4
    pictures = [view for _, view in answers]
    assert pictures[0] == pictures[2] and len(set(pictures)) == 3


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"model": "/etc/passwd"}, "there is no checkpoint"),
        ({"model": "../checkpoints/emoji.safetensors"}, "there is no checkpoint"),
        ({"sampler": "DDIM_50"}, "it is written METHOD_STEPS_ETA"),
        ({"sampler": "DDPM_1000_0p0", "count": 64}, "64,000; this page allows 20,000"),
        ({"precision": "int4"}, "the precision is one of auto, fp32, bf16"),
        ({"precision": ["fp32"]}, "the precision is one of"),
        ({"label": "12"}, "there is no class"),
        ({"label": ["a"]}, "one of those in the list"),
        ({"count": 65}, "Pictures: a whole number from 1 to 64"),
        ({"count": 2.5}, "Pictures: a whole number"),
        ({"count": None}, "Pictures: a whole number"),
        ({"seed": -1}, "First seed: a whole number from 0"),
        ({"seed": 2.0**60}, "First seed: a whole number from 0"),
    ],
)
def test_what_is_not_offered_or_too_much_is_refused_in_words(server, changes, words):
    line, view = said(Visitor(server.address).ask("draw_go", "click", asked(**changes)))
    assert words in line and 'role="alert"' in line and view == ""


@pytest.mark.parametrize(
    "event, parts, words",
    [
        ("steps", {1: 2000}, "步数：请输入 1 到 1,000 之间的整数"),
        ("steps", {1: None}, "步数：请输入"),
        ("eta", {2: 2}, "eta 为 2.0，须在 0p0 到 1p0 之间"),
        ("eta", {2: None}, "Eta：新噪声的比例：请输入一个数"),
        ("scale", {4: -1}, "无法识别"),
        ("method", {0: "NONE"}, "方法 NONE 不存在"),
        ("spacing", {3: ["uniform"]}, "无法识别"),
        ("first", {4: 2, 5: 2, 6: 10**9}, "引导结束时间步：请输入 0 到 100,000 之间的整数"),
    ],
)
def test_controls_that_are_out_of_bounds_are_refused_in_the_visitors_language(server, event, parts, words):
    values = ["DDIM", 50, 0, "uniform", 1, None, None]
    for place, value in parts.items():
        values[place] = value
    kind = "release" if event in ("steps", "eta", "scale") else "input"
    asked_for = ["mnist_mini", "DDIM_50_0p0", *values]
    messages = Visitor(server.address, language="zh-CN").ask(f"draw_{event}", kind, asked_for)
    complaint, text, _ = messages[-1]["output"]["data"]
    assert words in complaint and 'role="alert"' in complaint and text == {"__type__": "update"}


def test_a_visitor_who_leaves_frees_the_machine(server):
    for message in Visitor(server.address).messages("draw_go", "click", asked(sampler="DDPM_1000_0p0", count=16)):
        if message["msg"] == "process_generating" and server.page.machine.busy:
            break
    left = time.monotonic()
    while server.page.machine.busy:
        assert time.monotonic() - left < 60
        time.sleep(0.01)
    assert "seeds 0 to 1" in said(Visitor(server.address).ask("draw_go", "click", asked()))[0]


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=/etc/passwd", "file=/etc/passwd", "gradio_api/upload", "gradio_api/proxy=http://127.0.0.1/", "upload",
        "gradio_api/deep_link?session_hash=a", "monitoring", "openapi.json", "gradio_api/component_server", "../../etc/passwd",
    ],
)  # fmt: skip
def test_nothing_but_the_page_is_served(server, path):
    assert httpx.get(server.address + path).status_code == httpx.post(server.address + path).status_code == 404


def test_requests_that_are_too_large_are_not_read(server):
    answer = httpx.post(server.address + "gradio_api/queue/join", content=b" " * (2**20 + 1))
    assert answer.status_code == 413


def test_nothing_is_fetched_from_elsewhere(server, asked_for):
    assert set(map(str, asked_for)) <= {"127.0.0.1", "localhost", "None"}
    for path in ("", "theme.css", "config"):
        text = httpx.get(server.address + path).text
        assert not [host for host in ("googleapis", "gstatic", "cdnjs", "unpkg", "jsdelivr") if host in text]


def test_with_a_password_only_who_knows_it_comes_in():
    with served(auth=("me", "secret")) as page:
        assert httpx.get(page.address + "config").status_code == 401
        answer = httpx.post(
            page.address + "gradio_api/queue/join", json={"data": DIGITS, "fn_index": 0, "session_hash": "a"}
        )
        assert answer.status_code == 401
        with pytest.raises(httpx.HTTPStatusError):
            Visitor(page.address, ("me", "wrong"))
        assert Visitor(page.address, ("me", "secret")).config["title"]


@pytest.mark.slow
def test_a_hundred_visitors_at_once_for_a_minute_leave_no_error_and_no_memory_behind():
    """50 KB that each leaves behind are found. The server does grow at first: it keeps what the last 64 have seen; and gradio,
    of each to the 2,000th, a queue for messages, 5 KB."""
    memory, end = [], time.monotonic() + 60
    with served_by_demo() as (process, address):
        while time.monotonic() < end or len(memory) < 10:
            seeds = range(100 * len(memory), 100 * len(memory) + 100)
            lines = in_parallel(100, lambda i, seeds=seeds: line_drawn_for(address, seeds[i]))
            assert all(f"seeds {seed} to" in line for seed, line in zip(seeds, lines))
            memory.append(own_memory(process))
    left = (median(memory[-3:]) - median(memory[3:6])) / (100 * (len(memory) - 6))
    assert left < 50e3, (left, memory)


def line_drawn_for(address, seed):
    """What a visitor is told, who asks for the pictures of a seed and goes."""
    with Visitor(address) as visitor:
        return said(visitor.ask("draw_go", "click", asked(seed=seed)))[0]


def own_memory(process):
    """Bytes that a process has for itself: without the files, such as libraries, that it has in its memory."""
    info = process.memory_info()
    return info.rss - getattr(info, "shared", 0)
