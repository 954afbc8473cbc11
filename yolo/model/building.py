"""What several builders read alike: strides, activations, references to layers; and what they check alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from yolo.cfg import KeyReading, Section, locate
from yolo.model.class_tree import Tree, read_tree
from yolo.model.layers.activations import ACTIVATIONS
from yolo.settings import HeadSettings, InputSettings

Shape = tuple[int, int, int]  # channels, height, width


# Stored numbers of one network. Ours, so that a mistyped number is an error and not a full machine; the largest
# published one, cspx-p7-mish.cfg of AlexeyAB's zoo, has 277 million.
MOST_NUMBERS = 400_000_000


def stored_tensors(layer: nn.Module) -> list[tuple[str, Tensor]]:
    """What a layer keeps in a .weights file, name and tensor in file order; nothing for most kinds of layer."""
    return layer.darknet_tensors() if hasattr(layer, "darknet_tensors") else []


@dataclass(frozen=True)
class Built:
    """A layer as the graph needs it. sources: indices of the layers it reads, in order; -1 is the image."""

    module: nn.Module
    sources: tuple[int, ...]
    shape: Shape
    head: HeadSettings | None = None


@dataclass(frozen=True)
class BuildContext:
    """What a builder may look at: the input, every layer built so far, and how many numbers those store.

    dialect: which Darknet is followed where the two compute different things, "alexeyab" or "pjreddie".
    """

    input: InputSettings
    dialect: str
    built: Sequence[Built]
    numbers: int

    @property
    def previous(self) -> int:
        """Index of the layer before this one; -1, the image, for the first."""
        return len(self.built) - 1

    def stride(self, shape: Shape) -> tuple[float, float]:
        """(vertical, horizontal) pixels of the input that one cell of a map of `shape` stands for."""
        return self.input.height / shape[1], self.input.width / shape[2]

    def shape(self, index: int) -> Shape:
        """Output shape of a layer, or of the image for -1."""
        if index < 0:
            return self.input.channels, self.input.height, self.input.width
        return self.built[index].shape

    def afford(self, section: Section, key: str, numbers: int) -> None:
        """Raise CfgError, naming `key`, if a layer that stores so many numbers makes the network too large to hold."""
        total = self.numbers + numbers
        if total > MOST_NUMBERS:
            found = f"{total:,} stored numbers up to this layer"
            raise section.error(key, f"at most {MOST_NUMBERS:,}", found)


BLUR_SIZES = {1: 3, 2: 2}  # antialiasing → size of the kernel


def read_strides(section: Section) -> tuple[int, int]:
    """(vertical, horizontal); stride_x and stride_y fall back to stride (parser.c parse_convolutional)."""
    stride = section.integer("stride", 1, minimum=1)
    vertical, horizontal = section.integer("stride_y", -1), section.integer("stride_x", -1)
    return (vertical if vertical > 0 else stride), (horizontal if horizontal > 0 else stride)


def read_activation(section: Section, default: str) -> nn.Module:
    """The module of the section's `activation`."""
    return ACTIVATIONS[section.choice("activation", default, tuple(ACTIVATIONS))]()


def read_blur_size(section: Section) -> int:
    """Size of the kernel that `antialiasing` blurs with; 0: it does not (AlexeyAB make_convolutional_layer)."""
    kind = section.integer("antialiasing", 0)
    if kind and kind not in BLUR_SIZES:
        raise section.error("antialiasing", "0, 1 (a blur of 3x3) or 2 (of 2x2)")
    return BLUR_SIZES.get(kind, 0)


def find_layer(section: Section, key: str, index: int, before: BuildContext) -> int:
    """Darknet's layer reference → index: negative ones count back from this layer.

    Raises CfgError for a layer that does not come before this one, and for a head, which has no map to hand on.
    """
    here = before.previous + 1
    absolute = index + here if index < 0 else index
    if not 0 <= absolute < here:
        raise section.error(
            key, f"layers 0 to {here - 1}, or -1 to -{here}", f"{index} in layer {here}"
        )
    if before.built[absolute].head is not None:
        raise section.error(key, "a layer that is no head", f"{index}, which is one")
    return absolute


def find_file(cfg: str | Path, text: str) -> tuple[Path | None, str]:
    """The file that `text` means in a cfg, None where there is none, and where it was looked for, in words."""
    folder = Path(cfg).absolute().parent
    path = locate(text, folder)
    if not path.is_file():
        path = locate(text, folder.parent)  # Darknet's own folder, where the cfg lies in its cfg/
    looked = f"a file, from here, from {folder} or from {folder.parent}"
    return (path if path.is_file() else None), looked


def read_class_tree(section: Section, key: str, classes: int) -> Tree | None:
    """The class hierarchy in the file that `key` names; None without the key. It must have so many classes.

    Raises CfgError where there is no such file, DatasetError for what is wrong in it.
    """
    text = section.text(key, "")
    if not text:
        return None
    path, looked = find_file(section.path, text)
    if path is None:
        raise section.error(key, looked, f"no file {text!r}")
    tree = read_tree(path)
    if len(tree.names) != classes:
        found = f"{len(tree.names)} classes in {text}"
        raise section.error(key, f"as many as here, {classes}", found)
    return tree


def check_output(section: Section, key: str, out: tuple[int, ...], size: tuple[int, int]) -> None:
    """Raise CfgError, naming `key`, if an output of (height, width) `out` is empty."""
    if min(out) < 1:
        raise section.error(key, f"a window that fits the input of {size[0]}x{size[1]}")


def refuse(section: Section, keys: tuple[str, ...], what: str) -> None:
    """Raise CfgError for the first of `keys` that is there and not 0."""
    for key in keys:
        value = section.number(key, 0.0)
        section.readings[key] = KeyReading(f"0: {what} is not supported", 0)
        if value:
            raise section.error(key, section.readings[key].form)
