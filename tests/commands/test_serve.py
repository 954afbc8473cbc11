"""The command `serve`: its options, and a service as a process of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.helpers.tiny_heads import CLASSIFIERS
from yolo.serve.limits import Limits


@pytest.fixture
def serve(load_tool, monkeypatch):
    """serve("--cfg", ...) → what the application is made of, without running it."""
    made = {}
    monkeypatch.setattr("yolo.serve.app.make_app", lambda *given: made.update(given=given))
    monkeypatch.setattr("yolo.serve.http.server.run_app", lambda *_: None)

    def call(call_tool, *arguments):
        made.clear()
        code, out, error = call_tool(load_tool("serve"), "--port", "0", *arguments)
        return code, error, made.get("given")

    return call


def names_of(case):
    (case / "tiny.names").write_text("red\ngreen\n")
    return ("--cfg", "tiny.cfg", "--weights", "tiny.weights")


def test_networks_are_named_and_limits_and_access_are_as_the_options_say(serve, call_tool, case, monkeypatch):
    (case / "key.txt").write_text("secret\n")
    options = ("--model", "second=tiny.cfg,tiny.weights,tiny.names", "--api-key-file", "key.txt", "--queue", "5")
    limits = ("--max-megabytes", "1.5", "--batch", "3", "--allow-host", "Cam.example", "--max-images", "4")
    code, error, given = serve(call_tool, *names_of(case), *options, *limits)
    assert (code, error) == (0, "")
    models, made, access, stream, log_requests = given
    assert [model.name for model in models] == ["tiny", "second"] and models[1].detector.names == ("red", "green")
    assert (made.body_bytes, made.waiting, made.batch, made.images) == (3 * 2**19, 5, 3, 4)
    assert made.answer_seconds == Limits.answer_seconds and (stream, log_requests) == (None, False)
    assert access.api_key == "secret" and "cam.example" in access.hosts and "localhost" in access.hosts


def test_a_service_open_to_all_hosts_has_one_warning(serve, call_tool, case, monkeypatch):
    code, error, given = serve(call_tool, *names_of(case), "--host", "0.0.0.0")
    assert code == 0 and given[2].hosts is None
    assert error.startswith("0.0.0.0: everyone who reaches this machine can use the service") and error.count("\n") == 1
    monkeypatch.setenv("YOLO_API_KEY", "secret")
    code, error, given = serve(call_tool, *names_of(case), "--host", "0.0.0.0")
    assert (code, error, given[2].api_key) == (0, "", "secret")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "the following arguments are required: --cfg, --weights (or --model)"),
        (("--cfg", "tiny.cfg"), "found only one of --cfg and --weights"),
        (("--model", "a=tiny.cfg,tiny.weights,x,y"), "expected [NAME=]CFG,WEIGHTS[,NAMES] or [NAME=]FILE"),
        (("--model", "a b=tiny.cfg,tiny.weights"), "found the name 'a b'"),
        (("--model", "a=tiny.cfg,tiny.weights", "--model", "a=tiny.cfg,tiny.weights"), "two models of the name a"),
        (("--model", "missing.onnx"), "missing.onnx: No such file"),
        (("--model", "five=five.cfg,tiny.weights"), "five.cfg: found a classifier, expected a detection head"),
        (("--model", "a=tiny.cfg,tiny.weights", "--api-key-file", "empty.txt"), "found an empty key"),
        (("--model", "a=tiny.cfg,tiny.weights", "--api-key-file", "latin.txt"), "other letters than ASCII"),
        (("--model", "a=tiny.cfg,tiny.weights", "--port", "70000"), "expected a number from 0 to 65535"),
        (("--model", "a=tiny.cfg,tiny.weights", "--stream", "missing.mp4"), "missing.mp4: no such file"),
        (("--model", "a=tiny.cfg,tiny.weights", "--stream", "loop.mp4"), "loop.mp4: no such file"),
        (("--model", "a=tiny.cfg,tiny.weights", "--stream", "pipe.mp4"), "pipe.mp4: found a pipe, expected a file"),
        (("--model", "a=tiny.cfg,tiny.weights", "--stream", "pipe"), "pipe: found a pipe, expected a file"),
        (("--model", "a=tiny.cfg,tiny.weights", "--stream", "latin.mp4"), "latin.mp4: found text (Invalid data found"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(load_tool, call_tool, case, monkeypatch, options, line):
    monkeypatch.setattr("yolo.serve.http.server.run_app", lambda *_: pytest.fail("it runs"))
    names_of(case)
    (case / "empty.txt").write_text("\n")
    (case / "five.cfg").write_text(CLASSIFIERS["softmax"])
    for name in ("latin.txt", "latin.mp4"):
        (case / name).write_bytes(b"\xe9\xff")
    for name in ("pipe", "pipe.mp4"):
        os.mkfifo(case / name)
    (case / "loop.mp4").symlink_to("loop.mp4")
    code, _, error = call_tool(load_tool("serve"), "--port", "0", *options)
    assert code == 2 and line in error.splitlines()[-1]


def test_a_port_in_use_is_one_line(load_tool, call_tool, case):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, error = call_tool(load_tool("serve"), *names_of(case), "--port", port)
    assert (code, error) == (2, f"error: 127.0.0.1:{port}: Address already in use\n")


def test_a_missing_package_is_one_line_with_what_installs_it(load_tool, call_tool, case, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, _, error = call_tool(load_tool("serve"), *names_of(case))
    assert code == 2
    assert error == "error: yolo-darknet serve needs the package uvicorn: pip install 'yolo-darknet[serve]'\n"


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(project):
    command = [sys.executable, "-m", "yolo", "serve", "--cfg", "shapes-small", "--port", "0"]
    command += ["--weights", project / "weights" / "shapes-small.weights", "--names", "shapes"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r":(\d+) ", process.stdout.readline())[1])
        with socket.create_connection(("127.0.0.1", port)) as connection:  # a request that takes 20 s to arrive
            connection.sendall(b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=5)
    finally:
        process.kill()
    assert (process.returncode, out, error) == (130, "", "interrupted\n")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_process_answers_and_ends_cleanly(project, number):
    command = [sys.executable, "-m", "yolo", "serve", "--cfg", "shapes-small", "--port", "0"]
    command += ["--weights", project / "weights" / "shapes-small.weights", "--names", "shapes"]
    process = subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    try:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        image = (project / "data" / "shapes.png").read_bytes()
        end = time.monotonic() + 60
        with urllib.request.urlopen(f"{address}/detect", data=image, timeout=60) as answer:
            assert b'"label":"circle"' in answer.read() and time.monotonic() < end
        process.send_signal(number)
        out, error = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, error) == (0, "stopped\n", "")
