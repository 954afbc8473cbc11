"""TensorBoard's event file, written row by row: numbers, images, precision-recall curves, histograms.

torch's SummaryWriter writes from a thread of its own, which dies with a traceback when the disk is full.
"""

import io
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch import Tensor
from torch.utils.tensorboard import summary

from yolo.train.log.csv_table import GrowingFile

FILE_VERSION = "brain.Event:2"  # what TensorBoard's own writer begins a file with

THRESHOLDS = 127  # of a precision-recall curve: TensorBoard's number, and as many as it can show

BINS = 64  # of a histogram


class EventFile:
    """A new event file in `folder`. TensorBoard forgets what older files there say of `first_step` and later."""

    def __init__(self, folder: Path, first_step: int) -> None:
        seconds, rest = divmod(time.time_ns(), 10**9)
        name = f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.{rest:09d}"
        self.file = GrowingFile(folder / name)
        self._append(Event(wall_time=time.time(), file_version=FILE_VERSION))
        restart = SessionLog(status=SessionLog.START)
        self._append(Event(wall_time=time.time(), step=first_step, session_log=restart))

    def add(self, step: int, content: Summary) -> None:
        """Append `content`, which the functions below make. Raises OSError when it cannot be written."""
        self._append(Event(wall_time=time.time(), step=step, summary=content))

    def close(self) -> None:
        self.file.close()

    def _append(self, event: Event) -> None:
        record = io.BytesIO()
        RecordWriter(record).write(event.SerializeToString())
        self.file.append(record.getvalue())


def scalars(values: Mapping[str, float | None]) -> Summary:
    """Numbers by name; None is left out."""
    return Summary(
        value=[
            Summary.Value(tag=name, simple_value=value)
            for name, value in values.items()
            if value is not None
        ]
    )


def image(name: str, pixels: np.ndarray) -> Summary:
    """uint8 `[H, W, 3]` RGB."""
    return summary.image(name, pixels, dataformats="HWC")


def curve(name: str, labels: np.ndarray, scores: np.ndarray, ground_truths: int) -> Summary:
    """Precision against recall. labels: bool `[N]`, which detections are right; scores: `[N]` in 0..1;
    ground truths: how many there are to find.
    """
    return summary.pr_curve_raw(name, *curve_points(labels, scores, ground_truths), THRESHOLDS)


def curve_points(labels: np.ndarray, scores: np.ndarray, ground_truths: int) -> np.ndarray:
    """`[6, THRESHOLDS]`: true and false positives, true and false negatives, precision, recall of the detections that
    score at least 0 … 1, in even steps.

    A missed ground truth has no detection and no score, so that it is in `ground truths` alone. True negatives there are none in
    detection. With nothing detected nothing is wrong: precision 1.
    """
    thresholds = np.linspace(0, 1, THRESHOLDS)
    order = np.argsort(-scores, kind="stable")
    hits = np.concatenate(([0], np.cumsum(labels[order])))  # among the best 0, 1, 2 …
    detected = np.searchsorted(-scores[order], -thresholds, side="right")
    right = hits[detected]
    precision = np.where(detected > 0, right / np.maximum(detected, 1), 1.0)
    recall = right / max(ground_truths, 1)
    return np.stack(
        (right, detected - right, np.zeros(THRESHOLDS), ground_truths - right, precision, recall)
    )


def histogram(name: str, values: Tensor) -> Summary | None:
    """How a tensor's finite values are spread; None where it has none."""
    numbers = values.detach().float().cpu().numpy().ravel()
    numbers = numbers[np.isfinite(numbers)]
    return summary.histogram(name, numbers, bins=BINS) if len(numbers) else None
