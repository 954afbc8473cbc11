"""A figure of Matplotlib → the file of a chart."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.files.writing import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHART_ENDINGS = (".png", ".svg", ".pdf", ".jpg", ".jpeg")
JPEG_COMMENT = "Matplotlib"  # the mark by which an older chart is recognized; other formats have it without this
# Fonts with Chinese, Japanese and Korean letters, which Matplotlib's own does not have: of Debian, Windows and macOS
MORE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback",
    "Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans GB", "Arial Unicode MS",
)  # fmt: skip


def chart_fonts() -> list[str]:
    """Return Matplotlib's own font, then the installed ones of MORE_FONTS: a letter is of the first that has it."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in MORE_FONTS if name in installed)]


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure in the format of the file's ending, one of CHART_ENDINGS; whole or not at all. Raises OSError."""
    kind = path.suffix[1:].lower()
    options = {"pil_kwargs": {"comment": JPEG_COMMENT}} if kind in ("jpg", "jpeg") else {}
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a letter that no font has is drawn as a box
        figure.savefig(content, format=kind, dpi="figure", **options)
    with replacing(path) as file:
        file.write(content.getbuffer())
