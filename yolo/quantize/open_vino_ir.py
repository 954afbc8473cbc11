"""Convert a float32 ONNX file to int8 in OpenVINO's IR, by NNCF: scales without zero points, corrected biases."""

import logging
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

from torch import Tensor

from yolo.deploy.file_kinds import RT_INFO, save_openvino
from yolo.engines.open_vino import openvino_core
from yolo.errors import ExportError
from yolo.extras import import_extra

LAYER = re.compile(r"/network/layers\.(\d+)/")  # begins the names of the nodes of a layer


def write_int8_ir(
    source: Path, out: Path, batches: Sequence[Tensor], float_layers: Collection[int], metadata: Mapping[str, str]
) -> None:
    """Write an int8 version of a float32 file.

    Args:
        source: An ONNX file, as `export_network` writes it.
        out: The .xml; a .bin is written beside it.
        batches: Images to calibrate with, each with the file's batch size.
        float_layers: Numbers of the layers that stay in float32. Decoding always does.
        metadata: Texts to store in the file.

    Raises:
        ExportError: NNCF cannot quantize this file.
        MissingPackageError: openvino or nncf is not installed.
        OSError: The file cannot be written.
    """
    openvino = import_extra("openvino", "openvino", "writing OpenVINO's IR")
    with _quiet():
        nncf = import_extra("nncf", "openvino", "--precision int8 for OpenVINO's IR")
        openvino_core()
        nncf.set_log_level(logging.ERROR)
        model = openvino.convert_model(source)
        kept = [node.get_friendly_name() for node in model.get_ordered_ops()]
        kept = [name for name in kept if _stays_float(name, float_layers)]
        try:
            model = nncf.quantize(
                model,
                nncf.Dataset([batch.numpy() for batch in batches]),
                preset=nncf.QuantizationPreset.PERFORMANCE,
                subset_size=len(batches),
                ignored_scope=nncf.IgnoredScope(names=kept, validate=False),
            )
        except (nncf.errors.ValidationError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ExportError(f"{out.name}: found a network that NNCF cannot quantize: {reason}") from error
    for key, text in metadata.items():
        model.set_rt_info(text, [RT_INFO, key])
    save_openvino(model, out, half=False)


def _stays_float(name: str, float_layers: Collection[int]) -> bool:
    match = LAYER.match(name)
    return match is None or int(match[1]) in float_layers


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the progress bars, remarks and warnings of NNCF and its imports."""
    level = logging.root.manager.disable
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            yield
    finally:
        logging.disable(level)
