"""Counts and times of the service, in the text format of Prometheus.

Source: Prometheus, "Exposition formats", text format 0.0.4.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # upper bounds
SIZES = (1, 2, 4, 8, 16, 32)  # of batches
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Counts of values up to each bound, as Prometheus defines them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        place = next((at for at, bound in enumerate(self._bounds) if value <= bound), len(self._bounds))
        self._counts[place] += 1
        self._sum += value

    def lines(self, name: str, labels: Mapping[str, str]) -> list[str]:
        """Return the lines of the text format."""
        total, lines = 0, []
        for bound, count in zip((*map(_number, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            lines.append(f"{name}_bucket{_labels({**labels, 'le': bound})} {total}")
        return [*lines, f"{name}_sum{_labels(labels)} {self._sum:.6f}", f"{name}_count{_labels(labels)} {total}"]


class Metrics:
    """The numbers of `/metrics`. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, Histogram] = {}
        self._batches: dict[str, Histogram] = {}
        self._network: dict[str, Histogram] = {}
        self._images: Counter[str] = Counter()

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request. route: its pattern, such as /detect. seconds: from its head to its answer."""
        with self._lock:
            self._requests[route, status] += 1
            self._seconds.setdefault(route, Histogram(SECONDS)).add(seconds)

    def batch(self, model: str, size: int, seconds: float) -> None:
        """Count a batch. seconds: in the network."""
        with self._lock:
            self._images[model] += size
            self._batches.setdefault(model, Histogram(SIZES)).add(size)
            self._network.setdefault(model, Histogram(SECONDS)).add(seconds)

    def text(self, gauges: Mapping[str, tuple[str, Mapping[str, float]]]) -> str:
        """Return all of it.

        Args:
            gauges: name → (what it is, value of each model).
        """
        with self._lock:
            lines = _head("yolo_requests_total", "counter", "Requests by route and status.")
            for (route, status), count in sorted(self._requests.items()):
                lines.append(f"yolo_requests_total{_labels({'route': route, 'status': str(status)})} {count}")
            lines += _head("yolo_images_total", "counter", "Images that passed through the network.")
            lines += [f"yolo_images_total{_labels({'model': name})} {n}" for name, n in sorted(self._images.items())]
            for name, what, label, histograms in (
                ("yolo_request_seconds", "Seconds from a request to its answer.", "route", self._seconds),
                ("yolo_batch_size", "Images of a batch.", "model", self._batches),
                ("yolo_network_seconds", "Seconds of a batch in the network.", "model", self._network),
            ):
                lines += _head(name, "histogram", what)
                for value, histogram in sorted(histograms.items()):
                    lines += histogram.lines(name, {label: value})
        for name, (what, values) in gauges.items():
            lines += _head(name, "gauge", what)
            lines += [
                f"{name}{_labels({'model': model} if model else {})} {value:g}" for model, value in values.items()
            ]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, what: str) -> list[str]:
    return [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for value in labels.values())
    return "{" + ",".join(f'{name}="{value}"' for name, value in zip(labels, escaped, strict=True)) + "}"


def _number(value: float) -> str:
    return f"{value:g}"
