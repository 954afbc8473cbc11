"""Sections of layers with weights for every value → the layer, the layer it reads and the shape it gives."""

from yolo.cfg import Section
from yolo.model.dense import Connected, Local
from yolo.model.graph import Before, Built
from yolo.model.normalise import BATCH_NORM_NUMBERS
from yolo.model.reading import check_output, read_activation


def build_connected(section: Section, before: Before) -> Built:
    """[connected], [conn] (parser.c parse_connected)."""
    outputs = section.integer("output", 1, minimum=1)
    normalize = section.flag("batch_normalize")
    activation = read_activation(section, default="logistic")
    channels, height, width = before.shape(before.previous)
    inputs = channels * height * width
    numbers = outputs * (inputs + (BATCH_NORM_NUMBERS if normalize else 1))
    before.afford(section, "output", numbers)
    layer = Connected(
        inputs=inputs, outputs=outputs, batch_normalize=normalize, activation=activation
    )
    return Built(layer, (before.previous,), (outputs, 1, 1))


def build_local(section: Section, before: Before) -> Built:
    """[local] (parser.c parse_local, local_layer.c)."""
    filters = section.integer("filters", 1, minimum=1)
    size, stride = section.integer("size", 1, minimum=1), section.integer("stride", 1, minimum=1)
    padding = section.integer("pad", 0, minimum=0)
    activation = read_activation(section, default="logistic")
    channels, height, width = before.shape(before.previous)
    # With any `pad` local_out_height leaves the size of the window out; the windows themselves have `pad` zeros around.
    reach = size if padding == 0 else 1
    out = (height - reach) // stride + 1, (width - reach) // stride + 1
    check_output(section, "size", out, (height, width))
    filled = tuple((length + 2 * padding - size) // stride + 1 for length in (height, width))
    if out != filled:
        fitting = sorted({0, size // 2 if size % 2 else 0})
        raise section.error("pad", " or ".join(map(str, fitting)), f"{padding} with size={size}")
    places = out[0] * out[1]
    before.afford(section, "filters", filters * places * (channels * size**2 + 1))
    layer = Local(
        in_channels=channels,
        filters=filters,
        size=size,
        stride=stride,
        padding=padding,
        out=out,
        activation=activation,
    )
    return Built(layer, (before.previous,), (filters, *out))
