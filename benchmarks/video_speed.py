"""Frames per second of the video pipeline, beside the network alone and beside a plain OpenCV loop.

The pipeline is what `yolo-darknet detect VIDEO --save-video` does: one thread decodes by PyAV and prepares the image,
the network computes several frames at the same time in others, boxes are drawn and encoded as H.264 in a further one.
The network alone gets frames that were prepared before, one after the other: forward pass, decoding of the boxes, NMS.
It is the best of one thread and of all threads. What it reaches with as many frames at the same time as the pipeline,
where nothing else uses the cores, is printed too: the pipeline cannot reach that. The plain loop reads by
cv2.VideoCapture, detects, draws and writes by cv2.VideoWriter, one after the other. All are timed in turn in each
round; the ratios are medians over the rounds. The bound is 0.95 of the network alone. Exit code 1 where it is missed.

  python benchmarks/video_speed.py --cfg yolo-fastest-1.1.cfg --weights yolo-fastest-1.1.weights --size 320 street.mp4
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event

import cv2
import torch
from detect_speed import predict_nothing

from yolo.console.option_types import whole_number
from yolo.console.options import add_engine_options
from yolo.console.run import run
from yolo.detect.detector import Detector
from yolo.detect.draw import draw_detections
from yolo.detect.outputs.annotated import annotated
from yolo.detect.outputs.video import video_file
from yolo.detect.overlapped import detect_items, flights_for
from yolo.detect.pipeline import Behind, in_flight
from yolo.detect.sources.kinds import expand
from yolo.detect.sources.reader import Selection, read_sources
from yolo.detect.sources.streams import Patience
from yolo.detect.sources.video import video_frames
from yolo.detect.views import ViewPlan
from yolo.letterbox import batch_of
from yolo.model.network import Network
from yolo.model.weights import load_weights

BOUND = 0.95
WRITE_BEHIND = 8  # as in the command


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    size = {"width": str(args.size), "height": str(args.size)}
    network = Network.from_cfg(args.cfg, overrides=size)
    if args.weights:
        load_weights(network, args.weights)
    else:
        predict_nothing(network)
    names = tuple(map(str, range(network.classes)))
    detector = Detector(network.eval(), names, engine=args.engine, precision=args.precision)
    prepared = [
        detector.prepare(frame.image)
        for frame in islice(video_frames(str(args.video), network.input.channels), args.frames)
    ]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        counts = sorted({1, args.threads})
        for threads in counts:
            alone_rate(detector, prepared[:5], threads, args.threads)
        for number in range(args.rounds):
            alone = max(alone_rate(detector, prepared, threads, args.threads) for threads in counts)
            pipeline = rate(len(prepared), with_pipeline, detector, args.video, out, len(prepared), args.batch)
            again = max(alone_rate(detector, prepared, threads, args.threads) for threads in counts)
            loop = rate(len(prepared), plain_loop, detector, args.video, out, len(prepared))
            together = rate(len(prepared), network_in_flights, detector, prepared)
            rows.append(((alone + again) / 2, pipeline, loop))
            print(
                f"round {number + 1}: network alone {rows[-1][0]:.1f}, pipeline {pipeline:.1f}, "
                f"plain loop {loop:.1f} frames/s; network alone, several frames at a time {together:.1f}; "
                f"load {os.getloadavg()[0]:.1f}"
            )
    ratio = statistics.median(pipeline / alone for alone, pipeline, _ in rows)
    gain = statistics.median(pipeline / loop for _, pipeline, loop in rows)
    print(
        f"{args.cfg.stem} at {args.size}, {args.threads} threads, {len(prepared)} frames: pipeline "
        f"{ratio:.3f} of the network alone (bound {BOUND}), {gain:.2f} times the plain loop"
    )
    sys.exit(ratio < BOUND)


def rate(frames: int, work, *arguments) -> float:
    """Frames per second of `work(*arguments)`."""
    begun = time.perf_counter()
    work(*arguments)
    return frames / (time.perf_counter() - begun)


def network_alone(detector: Detector, prepared: list) -> None:
    for image, placement in prepared:
        detector.detect(batch_of([image]), [placement])


def alone_rate(detector: Detector, prepared: list, threads: int, usual: int) -> float:
    """Frames per second of the network alone with so many threads; `usual` threads are set afterwards."""
    torch.set_num_threads(threads)
    try:
        return rate(len(prepared), network_alone, detector, prepared)
    finally:
        torch.set_num_threads(usual)


def network_in_flights(detector: Detector, prepared: list) -> None:
    """Compute the frames, as many at the same time as the pipeline."""
    threads, flights = torch.get_num_threads(), flights_for(detector, len(prepared), live=False)
    begin = partial(torch.set_num_threads, max(1, threads // flights))
    for _ in in_flight(prepared, lambda pair: detector.detect(batch_of([pair[0]]), [pair[1]]), flights, begin):
        pass
    torch.set_num_threads(threads)


def with_pipeline(detector: Detector, video: Path, out: Path, frames: int, batch: int) -> None:
    stop = Event()
    selection = Selection(max_frames=frames)
    channels = detector.network.input.channels
    items = read_sources(expand([str(video)]), channels, selection, Patience(), stop)
    with video_file(out / "pipeline.mp4", str(video)) as file:

        def write(result) -> None:
            file.write(annotated(result, detector.names, None), result.frame.time)

        with closing(Behind(write, WRITE_BEHIND)) as behind:
            flights = flights_for(detector, frames, live=False)
            for result in detect_items(detector, items, ViewPlan(), batch, stop, flights):
                behind.put(result)
            behind.finish()


def plain_loop(detector: Detector, video: Path, out: Path, frames: int) -> None:
    capture, writer = cv2.VideoCapture(str(video)), None
    for _ in range(frames):
        image = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
        found = detector(image)
        parts = (part.numpy() for part in (found.boxes, found.scores, found.labels))
        drawn = draw_detections(image, *parts, detector.names)
        if writer is None:
            code = cv2.VideoWriter_fourcc(*"mp4v")
            writer = cv2.VideoWriter(str(out / "loop.mp4"), code, 25, image.shape[1::-1])
        writer.write(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    capture.release()
    writer.release()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("video", type=Path)
    add("--cfg", type=Path, required=True)
    add("--weights", type=Path, help="without: random ones that detect nothing")
    add("--size", type=whole_number(32), default=416)
    add("--frames", type=whole_number(2), default=200)  # opening and closing the files takes as long as five
    add("--rounds", type=whole_number(1), default=7)
    add("--threads", type=whole_number(1), default=2)
    add("--batch", type=whole_number(1), default=1, help="frames per pass of the pipeline's network, as in detect")
    add_engine_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
