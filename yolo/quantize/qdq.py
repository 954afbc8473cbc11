"""Convert a float32 ONNX file to int8: QuantizeLinear and DequantizeLinear around convolutions, by ONNX Runtime.

Only the weights and the inputs of convolutions are rounded; their outputs stay exact until they enter the next one, so
each value is rounded once. Biases and decoding stay in float32.
"""

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from yolo.extras import import_extra
from yolo.files.writing import replacing
from yolo.quantize.simulation import Range

NODE_PREFIX, NODE_SUFFIX = "/network/", "/Conv"  # the exporter's name of the node of a convolution, around ours


def write_qdq(
    source: Path,
    out: Path,
    ranges: Mapping[str, Range],
    float_layers: Collection[int],
    metadata: Mapping[str, str],
    signed: bool,
) -> None:
    """Write an int8 version of a float32 ONNX file.

    Args:
        source: As `export_network` writes it, with opset 13 or newer.
        out: The file.
        ranges: Of the inputs of convolutions, by name, see `activation_ranges`.
        float_layers: Numbers of the layers that stay in float32.
        metadata: Texts to store in the file.
        signed: Use int8 where activations are never negative, too, instead of uint8.

    Raises:
        MissingPackageError: onnx or onnxruntime is not installed.
        OSError: The file cannot be written.
    """
    onnx = import_extra("onnx", "export", "--precision int8")
    quantization = import_extra("onnxruntime.quantization", "export", "--precision int8")
    model = onnx.load(source)
    nodes, limits, unsigned = [], {}, []
    for node in model.graph.node:
        name = node.name.removeprefix(NODE_PREFIX).removesuffix(NODE_SUFFIX).replace("/", ".")
        if node.op_type != "Conv" or name not in ranges or int(name.split(".")[1]) in float_layers:
            continue
        nodes.append(node.name)
        never_negative = not ranges[name].negative and not signed
        top = np.float32(ranges[name].top)
        limits[node.input[0]] = (np.float32(0) if never_negative else -top, top)
        if never_negative:
            unsigned.append(node.input[0])
    if nodes:  # without any, the quantizer takes all
        model = _quantized(quantization, model, nodes, limits, unsigned)
    onnx.helper.set_model_props(model, dict(metadata))
    with replacing(out) as file:
        file.write(model.SerializeToString())


def _quantized(
    quantization: ModuleType, model: Any, nodes: list[str], limits: dict[str, tuple], unsigned: list[str]
) -> Any:
    """Return the model with the convolutions `nodes` in int8.

    quantization: onnxruntime.quantization. limits: of their inputs, by name. unsigned: the inputs that become uint8.
    """
    int8, uint8 = quantization.QuantType.QInt8, quantization.QuantType.QUInt8
    data = quantization.TensorsData(quantization.CalibrationMethod.MinMax, limits)
    options = {
        "OpTypesToExcludeOutputQuantization": ["Conv"],
        "QuantizeBias": False,
        "ActivationSymmetric": True,
        "QDQKeepRemovableActivations": True,
        "TensorQuantOverrides": {name: [{"quant_type": uint8, "symmetric": False}] for name in unsigned},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantizer = quantization.QDQQuantizer(
            model, True, False, int8, int8, data, nodes, [], ["Conv"], extra_options=options
        )
        quantizer.quantize_model()
    return quantizer.model.model
