"""A figure of Matplotlib → the file of a chart."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.files.writing import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHART_ENDINGS = (".png", ".svg", ".pdf", ".jpg", ".jpeg")
JPEG_COMMENT = "Matplotlib"  # the mark by which an older chart is recognized; other formats have it without this


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure in the format of the file's ending, one of CHART_ENDINGS; whole or not at all. Raises OSError."""
    kind = path.suffix[1:].lower()
    options = {"pil_kwargs": {"comment": JPEG_COMMENT}} if kind in ("jpg", "jpeg") else {}
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi="figure", **options)
    with replacing(path) as file:
        file.write(content.getbuffer())
