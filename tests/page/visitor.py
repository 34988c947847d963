"""A visitor of the page without a browser: what gradio's own client in the browser sends and receives."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx


class Visitor:
    """One window of a browser at the page served at `address`."""

    def __init__(self, address, auth=None, language="en"):
        self.http = httpx.Client(base_url=address, timeout=300, headers={"accept-language": language})
        if auth is not None:
            self.http.post("login", data=dict(zip(("username", "password"), auth))).raise_for_status()
        self.session = uuid.uuid4().hex
        self.config = self.http.get("config").raise_for_status().json()
        self.ids = {part["props"].get("elem_id"): part["id"] for part in self.config["components"]}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.http.close()

    def event(self, elem_id, kind):
        """The dependency that an event of a component sets off."""
        target = [self.ids[elem_id], kind]
        return next(each for each in self.config["dependencies"] if target in [list(t) for t in each["targets"]])

    def ask(self, elem_id, kind, data):
        """Sets off the event; what the server said of it, message by message, to the end."""
        return list(self.messages(elem_id, kind, data))

    def messages(self, elem_id, kind, data):
        """As `ask`, while it goes on; leaving it is leaving the page."""
        body = {"data": data, "fn_index": self.event(elem_id, kind)["id"], "session_hash": self.session}
        self.http.post("gradio_api/queue/join", json=body).raise_for_status()
        with self.http.stream("GET", "gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    yield message
                    if message["msg"] == "process_completed":
                        return


def in_parallel(count, work):
    """`work(number)` in so many threads; their results, in order. The first exception is raised."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))
