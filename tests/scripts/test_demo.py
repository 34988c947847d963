"""demo.py as a user starts it: what it says before it serves anything."""

import os
import socket
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(*arguments, **variables):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        [sys.executable, "demo.py", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("arguments", [("--auth", "me"), ("--auth", "me:"), ("--auth", ":secret"), ("--port", "70000")])
def test_what_cannot_be_is_one_line_before_torch_is_loaded(arguments):
    process = run(*arguments, PYTHONPATH="")
    assert (
        process.returncode == 2
        and process.stderr.count("\n") == 1
        and process.stderr.startswith(f"error: {arguments[0]}")
    )


def test_help_loads_no_torch():
    code = "import runpy, sys; sys.argv = ['demo.py', '--help']\n"
    code += "try: runpy.run_path('demo.py', run_name='__main__')\nexcept SystemExit: print('torch' in sys.modules, 'gradio' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.stdout.splitlines()[-1] == "False False" and "--auth" in process.stdout


def test_a_port_that_is_taken_and_a_host_that_is_not_there_are_said(monkeypatch):
    from page.app import listen
    from utils.errors import RequestError

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RequestError, match="--port .*choose another"):
            listen("127.0.0.1", taken.getsockname()[1])

    def unknown(*arguments, **options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(RequestError, match="--host nowhere: Name or service"):
        listen("nowhere", None)


@pytest.mark.slow
def test_it_serves_until_ctrl_c():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-u", "demo.py", "--port", "0", "--model_path", "checkpoints/mnist_mini.safetensors"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().startswith("Offers:  mnist_mini, on cpu")
    assert process.stdout.readline().startswith("Page:    http://127.0.0.1:")
    process.send_signal(2)
    assert process.wait(60) == 130 and process.stderr.read() == ""
