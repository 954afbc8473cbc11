"""The tables of a scored export: the versions that were tried, and the layers with the largest errors in int8."""

from collections.abc import Sequence

from terminaltables import AsciiTable

from yolo.quantize.scored_export import Version
from yolo.quantize.sensitivity import LayerError

SHOWN_LAYERS = 10


def versions_table(versions: Sequence[Version]) -> str:
    """Format one row per version: COCO's AP, its loss, size, and the time of an image with its ratio to float32."""
    first = versions[0]
    runtimes = list(first.milliseconds)
    header = ["", "AP", "loss", "AP50", "MiB"]
    for runtime in runtimes:
        header += [f"{runtime}, ms", "speed"]
    rows = []
    for version in versions:
        row = [_title(version), *_scores(version, first), f"{version.bytes / 2**20:.2f}"]
        for runtime in runtimes:
            milliseconds = version.milliseconds[runtime]
            row += [f"{milliseconds:.2f}", f"{first.milliseconds[runtime] / milliseconds:.2f}x"]
        rows.append(row)
    table = AsciiTable([header, *rows])
    table.justify_columns = {column: "right" for column in range(1, len(header))}
    return table.table


def errors_table(errors: Sequence[LayerError], float_layers: Sequence[int]) -> str:
    """Format the layers with the largest errors. float_layers: those that stay in float32."""
    rows = [
        [str(each.layer), each.text, f"{each.error:.4f}", "float32" if each.layer in float_layers else "int8"]
        for each in errors[: max(SHOWN_LAYERS, len(float_layers))]
    ]
    table = AsciiTable([["layer", "convolution", "error alone", "in the file"], *rows])
    table.justify_columns = {0: "right", 2: "right"}
    return table.table


def _title(version: Version) -> str:
    if not version.float_layers:
        return version.precision
    count = len(version.float_layers)
    return f"{version.precision}, {count} {'layer' if count == 1 else 'layers'} in float32"


def _scores(version: Version, first: Version) -> list[str]:
    if version.score is None or first.score is None:
        return ["-", "-", "-"]
    return [f"{version.score.ap:.4f}", f"{first.score.ap - version.score.ap:+.4f}", f"{version.score.ap50:.4f}"]
