"""TensorBoard's event file: numbers, images, precision-recall curves, histograms.

torch's SummaryWriter is not used because it writes from a thread that ends with a traceback when the disk is full.
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

from yolo.files.writing import GrowingFile

FILE_VERSION = "brain.Event:2"  # first record of TensorBoard's own files
THRESHOLDS = 127  # points of a precision-recall curve: the most that TensorBoard shows
BINS = 64  # of a histogram


class EventFile:
    """A new event file in `folder`. TensorBoard ignores what older files there contain for `first_step` and later."""

    def __init__(self, folder: Path, first_step: int) -> None:
        seconds, rest = divmod(time.time_ns(), 10**9)
        name = f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.{rest:09d}"
        self.file = GrowingFile(folder / name)
        self._append(Event(wall_time=time.time(), file_version=FILE_VERSION))
        restart = SessionLog(status=SessionLog.START)
        self._append(Event(wall_time=time.time(), step=first_step, session_log=restart))

    def add(self, step: int, content: Summary) -> None:
        """Append what one of the functions below returned. Raises OSError if it cannot be written."""
        self._append(Event(wall_time=time.time(), step=step, summary=content))

    def close(self) -> None:
        self.file.close()

    def _append(self, event: Event) -> None:
        record = io.BytesIO()
        RecordWriter(record).write(event.SerializeToString())
        self.file.append(record.getvalue())


def scalars(values: Mapping[str, float | None]) -> Summary:
    """Numbers by name, without those that are None."""
    return Summary(
        value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items() if value is not None]
    )


def image(name: str, pixels: np.ndarray) -> Summary:
    """An image, uint8 `[H, W, 3]` RGB."""
    return summary.image(name, pixels, dataformats="HWC")


def pr_curve(name: str, true_positive: np.ndarray, scores: np.ndarray, ground_truths: int) -> Summary:
    """A precision-recall curve.

    Args:
        name: of the curve.
        true_positive: bool `[N]`, which detections are true positives.
        scores: `[N]`, of the detections, 0..1.
        ground_truths: number of ground truth boxes.
    """
    points = pr_curve_points(true_positive, scores, ground_truths)
    return summary.pr_curve_raw(name, *points, THRESHOLDS)


def pr_curve_points(true_positive: np.ndarray, scores: np.ndarray, ground_truths: int) -> np.ndarray:
    """Return `[6, THRESHOLDS]`: TP, FP, TN, FN, precision, recall of the detections with at least each score 0 … 1.

    There are no true negatives in detection. Without detections the precision is 1. The arguments are those of
    `pr_curve`.
    """
    thresholds = np.linspace(0, 1, THRESHOLDS)
    order = np.argsort(-scores, kind="stable")
    best_first = np.concatenate(([0], np.cumsum(true_positive[order])))  # TP of the best 0, 1, 2 …
    detected = np.searchsorted(-scores[order], -thresholds, side="right")
    found = best_first[detected]
    precision = np.where(detected > 0, found / np.maximum(detected, 1), 1.0)
    recall = found / max(ground_truths, 1)
    return np.stack((found, detected - found, np.zeros(THRESHOLDS), ground_truths - found, precision, recall))


def histogram(name: str, values: Tensor) -> Summary | None:
    """A histogram of the finite values of a tensor; None if it has none."""
    numbers = values.detach().float().cpu().numpy().ravel()
    numbers = numbers[np.isfinite(numbers)]
    return summary.histogram(name, numbers, bins=BINS) if len(numbers) else None
