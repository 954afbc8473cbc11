"""Adapt ONNX files to OpenCV 4.6, the version of Debian 12.

It does not broadcast constants of five axes, and reads no Identity of a stored tensor.
"""

from pathlib import Path
from typing import Any

import numpy as np

from yolo.extras import import_extra
from yolo.files.writing import replacing

COMMUTATIVE = ("Add", "Mul")
ELEMENTWISE = (*COMMUTATIVE, "Sub", "Div")


def adapt_to_opencv4(path: Path) -> None:
    """Spread constants and remove aliases of stored tensors in an ONNX file with fixed shapes, which is replaced."""
    onnx = import_extra("onnx", "export", "writing an ONNX file")
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    _remove_aliases(model)
    _spread_constants(onnx, model)
    onnx.checker.check_model(model)
    with replacing(path) as file:
        file.write(model.SerializeToString())


def _remove_aliases(model: Any) -> None:
    """Let nodes read stored tensors by their own names: PyTorch stores equal ones once."""
    stored = {each.name for each in model.graph.initializer}
    aliases = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "Identity" and node.input[0] in stored
    }
    kept = [node for node in model.graph.node if node.output[0] not in aliases]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = aliases.get(name, name)


def _spread_constants(onnx: Any, model: Any) -> None:
    """Give each constant operand of +, -, * and / the shape of the result, as the second operand if that is equal."""
    known = (*model.graph.value_info, *model.graph.output)
    shapes = {each.name: [axis.dim_value for axis in each.type.tensor_type.shape.dim] for each in known}
    constants = {
        node.output[0]: onnx.numpy_helper.to_array(node.attribute[0].t)
        for node in model.graph.node
        if node.op_type == "Constant"
    }
    for node in model.graph.node:
        if node.op_type not in ELEMENTWISE:
            continue
        (output,) = node.output
        for index, name in enumerate(node.input):
            if name in constants and constants[name].size > 1:
                spread = np.ascontiguousarray(np.broadcast_to(constants[name], shapes[output]))
                tensor = onnx.numpy_helper.from_array(spread, f"{output}_operand{index}")
                model.graph.initializer.append(tensor)
                node.input[index] = tensor.name
                if index == 0 and node.op_type in COMMUTATIVE:
                    node.input[0], node.input[1] = node.input[1], node.input[0]
                    break
    used = {name for node in model.graph.node for name in node.input} | {each.name for each in model.graph.output}
    kept = [node for node in model.graph.node if node.op_type != "Constant" or node.output[0] in used]
    del model.graph.node[:]
    model.graph.node.extend(kept)  # ONNX Runtime logs a warning for each constant that nothing reads
