"""Common parts of all builders: the records that they take and return, keys of several kinds of section, checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from yolo.cfg import KeySpec, Section
from yolo.errors import counted
from yolo.files.located import locate, moved_file
from yolo.model.class_tree import Tree, read_tree
from yolo.model.layers.activations import ACTIVATIONS
from yolo.settings import HeadSettings, InputSettings

Shape = tuple[int, int, int]  # channels, height, width

# Limit of one network's stored values, so that a mistyped number is an error and does not fill the memory. Not from
# Darknet; the largest published network, cspx-p7-mish.cfg of AlexeyAB's model zoo, has 277 million.
LARGEST_MAP = 2**31 - 1  # values; Darknet counts a layer's outputs in a C int
MAX_STORED_VALUES = 400_000_000
MUST_BE_ZERO = "0: "  # first words of the form of a key that must be 0; the reason follows


def stored_tensors(layer: nn.Module) -> list[tuple[str, Tensor]]:
    """Return the tensors that a layer stores in a .weights file, with their names, in file order; often none."""
    return layer.darknet_tensors() if hasattr(layer, "darknet_tensors") else []


@dataclass(frozen=True)
class Built:
    """What a builder returns.

    module: the layer; sources: indices of the layers that it reads, in order, -1 for the image; shape: of its output;
    head: the settings of a detection head, None for other layers.
    """

    module: nn.Module
    sources: tuple[int, ...]
    shape: Shape
    head: HeadSettings | None = None


@dataclass(frozen=True)
class BuildContext:
    """What a builder gets beside its section.

    input: size and channels of the network input; dialect: "alexeyab" or "pjreddie", the Darknet to follow where the
    two compute different things; built: the layers so far; stored_values: how many numbers they store.
    """

    input: InputSettings
    dialect: str
    built: Sequence[Built]
    stored_values: int

    @property
    def previous(self) -> int:
        """Index of the previous layer; -1, the image, for the first layer."""
        return len(self.built) - 1

    @property
    def previous_shape(self) -> Shape:
        """Output shape of the previous layer."""
        return self.shape(self.previous)

    def shape(self, index: int) -> Shape:
        """Return the output shape of a layer, or of the image for -1."""
        if index < 0:
            return self.input.channels, self.input.height, self.input.width
        return self.built[index].shape

    def stride(self, shape: Shape) -> tuple[float, float]:
        """Return (vertical, horizontal) network-input pixels per cell of a map of `shape`."""
        return self.input.height / shape[1], self.input.width / shape[2]

    def check_stored_values(self, section: Section, key: str, count: int) -> None:
        """Raise CfgError, naming `key`, if a layer with `count` stored values makes the network too large."""
        total = self.stored_values + count
        if total > MAX_STORED_VALUES:
            found = f"{total:,} stored values up to this layer"
            raise section.error(key, f"at most {MAX_STORED_VALUES:,}", found)


def read_strides(section: Section) -> tuple[int, int]:
    """Return (vertical, horizontal); stride_x and stride_y default to stride (parser.c parse_convolutional)."""
    stride = section.integer("stride", 1, minimum=1)
    vertical, horizontal = section.integer("stride_y", -1), section.integer("stride_x", -1)
    return (vertical if vertical > 0 else stride), (horizontal if horizontal > 0 else stride)


def read_activation(section: Section, default: str) -> nn.Module:
    """Return the module of the section's `activation`."""
    return ACTIVATIONS[section.choice("activation", default, tuple(ACTIVATIONS), "relu")]()


def resolve_layer(section: Section, key: str, index: int, context: BuildContext) -> int:
    """Return the index of the layer that a section refers to; a negative `index` counts back from this layer.

    Args:
        section: the section of the layer that is being built.
        key: the key that holds the reference, for the error.
        index: the reference as written in the cfg.
        context: the layers so far.

    Raises:
        CfgError: The layer does not exist yet, or is a head, whose output no layer can use.
    """
    here = context.previous + 1
    absolute = index + here if index < 0 else index
    if not 0 <= absolute < here:
        expected = f"layers 0 to {here - 1}, or -1 to -{here}"
        raise section.error(key, expected, f"{index} in layer {here}")
    if context.built[absolute].head is not None:
        raise section.error(key, "a layer that is not a head", f"{index}, which is a head")
    return absolute


def find_file(cfg: str | Path, text: str) -> tuple[Path | None, str]:
    """Return the file that `text` names in a cfg, or None, and a description of where it was searched."""
    folder = Path(cfg).absolute().parent
    places = (folder, folder.parent)  # the second is Darknet's own folder, if the cfg is in its cfg/
    whole_first = sorted(places, key=lambda place: moved_file(text, str(place)) is not None)
    paths = [locate(text, place) for place in whole_first]
    searched = f"a file, from here, from {folder} or from {folder.parent}"
    return next((path for path in paths if path.is_file()), None), searched


def read_class_tree(section: Section, classes: int) -> Tree | None:
    """Return the class hierarchy in the file that the key `tree` names, None without the key.

    Raises:
        CfgError: There is no such file, or it does not have `classes` classes.
        DatasetError: The file is malformed.
    """
    text = section.text("tree", "")
    if not text:
        return None
    path, searched = find_file(section.path, text)
    if path is None:
        raise section.error("tree", searched, f"no file {text!r}")
    tree = read_tree(path)
    if len(tree.names) != classes:
        found = f"{counted(len(tree.names), 'class')} in {text}"
        raise section.error("tree", f"{counted(classes, 'class')}, as in this section", found)
    return tree


def output_size(size: tuple[int, int], reach: int, stride: tuple[int, int], padding: int) -> tuple[int, int]:
    """Return the (height, width) of the output of a sliding window.

    Args:
        size: (height, width) of the input.
        reach: side of the window in pixels.
        stride: (vertical, horizontal).
        padding: pixels added to each axis, the sum of both sides.
    """
    height, width = size
    return (
        (height + padding - reach) // stride[0] + 1,
        (width + padding - reach) // stride[1] + 1,
    )


def check_output_size(section: Section, key: str, out: tuple[int, ...], size: tuple[int, int]) -> None:
    """Check that the output of a layer is not empty.

    Args:
        section: of the layer.
        key: its key that the error names.
        out: (height, width) of the output.
        size: (height, width) of the input.

    Raises:
        CfgError: the output is empty.
    """
    if min(out) < 1:
        raise section.error(key, f"a window that fits the input of {size[0]}x{size[1]}")


def require_zero(section: Section, keys: tuple[str, ...], what: str) -> None:
    """Raise CfgError for the first of `keys` that is not 0, because `what` is not supported."""
    for key in keys:
        value = section.number(key, 0.0)
        section.read_keys[key] = KeySpec(f"{MUST_BE_ZERO}{what} is not supported", 0)
        if value:
            raise section.error(key, section.read_keys[key].form)
