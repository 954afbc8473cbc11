"""detect with videos, streams and its other sources and outputs: real runs of a tiny network."""

import csv
import io
import json
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import cv2
import numpy as np
import pytest

from tests.helpers.tiny_data import FOUR_IMAGES, cfg_text, draw, network_of, write_image
from tests.helpers.tiny_videos import moving_square, read_video, sound_seconds, write_video
from yolo.data.images import read_image
from yolo.detect.detector import Detector
from yolo.detect.outputs.video import VideoFile
from yolo.model.weights import save_weights

DETECT = (
    *("--cfg", "tiny.cfg", "--weights", "tiny.weights", "--names", "four/tiny.names"),
    *("--device", "cpu", "--thresh", ".2"),
)


@pytest.fixture
def case(four, tmp_path, monkeypatch):
    """A folder with cfg, weights, the drawn set and a video of ten frames; the current folder."""
    (tmp_path / "tiny.cfg").write_text(cfg_text())
    save_weights(network_of(cfg_text(), seed=1), tmp_path / "tiny.weights")
    write_video(tmp_path / "clip.mp4", moving_square(10), sound="aac", rate=10)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def detect(load_tool, call_tool):
    """detect("clip.mp4", ...) → exit code, stdout, stderr."""
    return lambda *arguments: call_tool(load_tool("detect"), *DETECT, *arguments)


def one_line(result, match):
    code, _, err = result
    assert code == 2, result
    assert err.count("\n") == 1 and match in err, err


def bad_option(result, match):
    code, _, err = result
    assert code == 2 and match in err.splitlines()[-1], result


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# ----------------------------------------------------------------------------------------------------------- videos


def test_a_video_plays_back_annotated_with_its_sound(case, detect):
    code, out, err = detect("clip.mp4", "--save-video", "--out", "out")
    assert (code, err) == (0, "")
    assert out.startswith("clip.mp4: 10 frames, ") and out.endswith("video with boxes: out/clip.mp4\n")
    drawn, times = read_video(case / "out" / "clip.mp4")
    plain, _ = read_video(case / "clip.mp4")
    assert times == pytest.approx([n / 10 for n in range(10)])
    assert sound_seconds(case / "out" / "clip.mp4") is not None
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(drawn, plain, strict=True)) > 10
    assert [path.name for path in (case / "out").iterdir()] == ["clip.mp4"]


def test_every_output_has_the_same_objects(case, detect):
    code, out, _ = detect(
        "clip.mp4", "four/images", "--every", 3, "--jsonl", "a.jsonl", "--csv", "a.csv", "--json", "a.json",
        "--crops", "crops", "--save-labels", "coco", "--out", "out",
    )  # fmt: skip
    assert code == 0
    lines = lines_of(case / "a.jsonl")
    assert [(line["source"], line["frame"]) for line in lines] == [
        *(("clip.mp4", n) for n in (0, 3, 6, 9)),
        *((f"four/images/p{n}.png", 0) for n in range(4)),
    ]
    counts = [len(line["objects"]) for line in lines]
    assert sum(counts) > 0
    frames = json.loads((case / "a.json").read_text())
    assert [len(frame["objects"]) for frame in frames] == counts
    assert [frame["filename"] for frame in frames[:2]] == ["clip.mp4#0", "clip.mp4#3"]
    with open(case / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(counts)
    labels = json.loads((case / "out" / "labels.json").read_text())
    assert len(labels["images"]) == 8 and 0 < len(labels["annotations"]) <= sum(counts)
    assert len(list((case / "crops").rglob("*.png"))) == len(labels["annotations"])
    assert len(list((case / "out" / "images").iterdir())) == 4
    assert f"clip.mp4: 4 frames, {sum(counts[:4])} objects" in out
    for line in (
        "json: a.json",
        "json lines: a.jsonl",
        "csv: a.csv",
        "labels: out/labels.json",
        "crops: crops",
    ):
        assert line in out.splitlines()
    assert "images with boxes: out (4)\ntrain on the original images with these labels" in out


def test_a_batch_and_one_by_one_detect_the_same(case, detect):
    for size in (1, 3):
        assert detect("clip.mp4", "four/images", "--batch", size, "--jsonl", f"{size}.jsonl")[0] == 0
    alone, together = lines_of(case / "1.jsonl"), lines_of(case / "3.jsonl")
    assert [line["frame"] for line in alone] == [line["frame"] for line in together]
    for one, other in zip(alone, together, strict=True):
        scores, others = ([round(o["score"], 3) for o in line["objects"]] for line in (one, other))
        assert scores == pytest.approx(others, abs=2e-3)


def test_max_frames_ends_a_video_early(case, detect):
    detect("clip.mp4", "--max-frames", 4, "--save-video", "--out", "out")
    assert len(read_video(case / "out" / "clip.mp4")[0]) == 4


def test_videos_of_one_name_are_all_written(case, detect):
    for folder in ("a", "b"):
        write_video(case / folder / "v.mp4", moving_square(2))
    assert detect("a", "b/v.mp4", "--save-video", "--out", "out")[0] == 0
    assert sorted(path.name for path in (case / "out").iterdir()) == ["v-2.mp4", "v.mp4"]


def test_numbered_frames_become_a_video(case, detect):
    for number, image in enumerate(moving_square(3)):
        write_image(case / f"f{number:05d}.png", image)
    assert detect("f%05d.png", "--save-video", "--out", "out")[0] == 0
    assert read_video(case / "out" / "f.mp4")[1] == pytest.approx([0, 0.04, 0.08])


def test_tracking_numbers_objects_and_counts_a_line(case, detect):
    code, out, err = detect(
        "clip.mp4",
        "--track",
        "--count-line",
        "30,0,30,48",
        "--csv",
        "a.csv",
        "--save-video",
        "--out",
        "out",
    )
    assert (code, err) == (0, "")
    assert "  crossed the line: " in out
    assert (case / "a.csv").read_text().startswith("source,frame,time") and len(
        read_video(case / "out/clip.mp4")[0]
    ) == 10
    with open(case / "a.csv", newline="") as file:
        tracks = [row["track"] for row in csv.DictReader(file)]
    assert any(tracks), tracks


def test_a_line_is_one_word_or_four_before_or_after_the_source_and_tracks_without_being_asked(case, detect):
    lines = {
        detect(*before, "clip.mp4", *after)[1]
        for before, after in (
            ((), ("--track", "--count-line", "30,-5,30,48")),
            (("--count-line", 30, -5, "30", 48), ()),
            (("--count-line=30, -5, 30, 48",), ()),
            ((), ("--count-line", "30,", "-5,", "30,", "48")),
        )
    }
    assert len({line.split("  crossed")[1] for line in lines}) == 1, lines
    assert "crossed the line: 0 from" in detect("clip.mp4", "--count-line", "-2,0,-2,5")[1]


@pytest.mark.parametrize("options", [("--tile", 32, "--overlap", ".5"), ("--tta",), ("--tile", 40, "--tta")])
def test_tiles_and_augmentation_reach_every_source(case, detect, options):
    assert detect("clip.mp4", "four/images", *options, "--jsonl", "a.jsonl", "--max-frames", 2)[0] == 0
    assert detect("clip.mp4", "four/images", "--jsonl", "b.jsonl", "--max-frames", 2)[0] == 0
    with_options, plain = lines_of(case / "a.jsonl"), lines_of(case / "b.jsonl")
    assert len(with_options) == len(plain) == 6
    assert [line["objects"] for line in with_options] != [line["objects"] for line in plain]


# ----------------------------------------------------------------------------------------------------- other sources


def test_stdin_is_an_image_or_a_list(case, detect, monkeypatch):
    content = cv2.imencode(".png", draw(FOUR_IMAGES[0])[:, :, ::-1])[1].tobytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    code, out, err = detect("-", "--out", "out")
    assert (code, err) == (0, "") and out.startswith("-: ")
    assert read_image(case / "out" / "stdin.png").shape == (48, 64, 3)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"four/images/p1.png\n")))
    assert detect("/dev/stdin")[1].startswith("four/images/p1.png: ")


def test_json_lines_on_stdout_are_nothing_but_json(case, detect):
    code, out, err = detect("clip.mp4", "four/images", "--jsonl", "-")
    assert code == 0 and len([json.loads(line) for line in out.splitlines()]) == 14
    assert "clip.mp4: 10 frames" in err


class Endless(BaseHTTPRequestHandler):
    """An MJPEG stream without end, like that of a camera."""

    def reply(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        try:
            while True:
                image = np.full((48, 64, 3), number % 250, np.uint8)
                content = cv2.imencode(".jpg", image)[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
                self.wfile.write(head.encode() + content + b"\r\n")
                number += 1
                time.sleep(0.02)
        except OSError:  # the client went away
            return

    do_GET = reply  # the name that http.server calls  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def stream():
    """The address of an endless stream."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/live"
    server.shutdown()
    server.server_close()
    thread.join()


def test_ctrl_c_ends_a_stream_and_closes_its_video(project, case, stream):
    """A process of its own, ended by the signal that Ctrl-C sends."""
    process = subprocess.Popen(
        [sys.executable, project / "tools/detect.py", *DETECT, stream, "--save-video", "--out", "out"]
        + ["--jsonl", "a.jsonl", "--csv", "a.csv", "--json", "a.json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=case,
    )  # fmt: skip
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if (case / "a.jsonl").exists() and (case / "a.jsonl").read_text().count("\n") >= 5:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err.splitlines()[-1] == "interrupted", err
    lines = lines_of(case / "a.jsonl")
    assert len(lines) >= 5
    assert len(read_video(case / "out" / "live.mp4")[0]) == len(lines)
    assert len(json.loads((case / "a.json").read_text())) == len(lines)
    assert (case / "a.csv").read_text().startswith("source,")
    assert "video with boxes: out/live.mp4" in out
    assert not [path for path in case.rglob(".*") if path.is_file()]


def test_a_stream_is_read_for_as_long_as_asked(case, detect, stream):
    code, out, err = detect(stream, "--max-frames", 3, "--jsonl", "a.jsonl")
    assert (code, err) == (0, "") and len(lines_of(case / "a.jsonl")) == 3
    assert out.startswith(f"{stream}: 3 frames, ")


# ----------------------------------------------------------------------------------------------------- interruptions


def interrupt_at(monkeypatch, count, error):
    """Raise `error` in the place of a pass of the network."""
    passes, plain = [], Detector.detect

    def detect(self, images, placements):
        passes.append(1)
        if len(passes) == count:
            raise error
        return plain(self, images, placements)

    monkeypatch.setattr(Detector, "detect", detect)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_docker_stop_and_a_closed_terminal_keep_the_video_up_to_there(case, detect, monkeypatch, number):
    """The signal comes after three written frames; the main thread perhaps waits for a thread of the network."""
    before, plain, plain_write = signal.getsignal(number), Detector.detect, VideoFile.write
    went_on, frames, three_written = [], [], Event()

    def write(self, image, at):
        plain_write(self, image, at)
        frames.append(at)
        if len(frames) == 3:
            three_written.set()

    def detect_slowly(self, images, placements):
        went_on.append(1)
        if len(went_on) == 7:  # two threads are at most four frames ahead: the first three have left the network
            assert three_written.wait(60)
            signal.raise_signal(number)
        elif len(went_on) > 7:
            time.sleep(0.05)
        return plain(self, images, placements)

    monkeypatch.setattr(VideoFile, "write", write)
    monkeypatch.setattr(Detector, "detect", detect_slowly)
    code, out, err = detect("clip.mp4", "--save-video", "--out", "out")
    assert (code, err) == (130, "interrupted\n")
    written = len(read_video(case / "out" / "clip.mp4")[0])
    assert 3 <= written < 10 and f"clip.mp4: {written} frames" in out
    assert signal.getsignal(number) == before


def test_ctrl_c_keeps_the_video_up_to_there(case, detect, monkeypatch):
    interrupt_at(monkeypatch, 5, KeyboardInterrupt())
    code, out, err = detect("clip.mp4", "--save-video", "--out", "out", "--csv", "a.csv")
    assert (code, err) == (130, "interrupted\n")
    assert "clip.mp4: 4 frames" in out
    assert len(read_video(case / "out" / "clip.mp4")[0]) == 4


def test_ctrl_c_among_images_writes_no_json_of_a_part(case, detect, monkeypatch):
    interrupt_at(monkeypatch, 3, KeyboardInterrupt())
    assert detect("four/images", "--out", "out", "--json", "a.json")[0] == 130
    assert not (case / "a.json").exists()
    assert sorted(path.name for path in (case / "out").iterdir()) == ["p0.png", "p1.png"]


def test_after_an_error_no_half_written_file_is_left(case, detect, monkeypatch):
    interrupt_at(monkeypatch, 5, OSError(28, "No space left on device"))
    one_line(
        detect("clip.mp4", "--save-video", "--out", "out", "--csv", "out/a.csv", "--json", "out/a.json"),
        "No space left on device",
    )
    assert list((case / "out").iterdir()) == []


def test_a_broken_video_among_good_sources_costs_only_itself(case, detect):
    (case / "bad.mp4").write_bytes(b"no video")
    result = detect("bad.mp4", "clip.mp4", "four/images/p0.png", "--save-video", "--out", "out")
    one_line(result, "error: bad.mp4: found text (Invalid data found when processing input), expected a video")
    assert sorted(path.name for path in (case / "out").iterdir()) == ["clip.mp4", "p0.png"]


# ------------------------------------------------------------------------------------------------------- wrong input


def test_outputs_never_replace_inputs(case, detect):
    before = (case / "clip.mp4").read_bytes()
    one_line(detect("clip.mp4", "--save-video", "--out", "."), "clip.mp4: found an input")
    for option in ("--json", "--csv", "--jsonl"):
        one_line(detect("clip.mp4", option, "clip.mp4"), "clip.mp4: found an input, expected another place")
        one_line(detect("clip.mp4", option, "tiny.weights"), "tiny.weights: found an input")
    assert (case / "clip.mp4").read_bytes() == before


def test_wrong_options_are_one_line(case, detect):
    one_line(detect("four/images", "--save-video", "--out", "out"), "--save-video: found only images")
    bad_option(detect("clip.mp4", "--save-video"), "--save-video: expected --out DIR, too")
    bad_option(detect("clip.mp4", "--save-labels", "voc"), "--save-labels: expected --out DIR, too")
    for line in (["1,2,3"], ["1", "2", "3"], ["a,b,c,d"], ["1;2;3;4"], [".5,0,.5,1"]):
        bad_option(detect("clip.mp4", "--track", "--count-line", *line), "expected four numbers x1,y1,x2,y2")
    bad_option(detect("clip.mp4", "--track", "--count-line", "1,2,1,2"), "expected two different points")
    bad_option(detect("clip.mp4", "--every", 0), "expected a whole number from 1 on")
    bad_option(detect("clip.mp4", "--overlap", "0.95"), "expected at most 0.9")
    assert not (case / "out").exists()


@pytest.mark.parametrize("package, options", [("av", ("--save-video", "--out", "out")), ("trackers", ("--track",))])
def test_a_missing_package_is_one_line_that_installs_it(case, detect, monkeypatch, package, options):
    monkeypatch.setitem(sys.modules, package, None)
    extra = {"av": "video", "trackers": "track"}[package]
    one_line(detect("clip.mp4", *options), f"pip install 'yolo-darknet[{extra}]'")
    assert not (case / "out").exists()


def test_images_need_no_video_package(case, detect, monkeypatch):
    for package in ("av", "trackers", "supervision"):
        monkeypatch.setitem(sys.modules, package, None)
    assert detect("four/images", "--out", "out")[0] == 0
