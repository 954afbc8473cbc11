"""What a builder may look at and what it returns: the records between a cfg and its network."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from yolo.cfg import Section
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
    """A layer as the graph needs it. sources: indices of the layers it reads, in order; -1 is the picture."""

    module: nn.Module
    sources: tuple[int, ...]
    shape: Shape
    head: HeadSettings | None = None


@dataclass(frozen=True)
class Before:
    """What a builder may look at: the input, every layer built so far, and how many numbers those store.

    dialect: which Darknet is followed where the two compute different things, "alexeyab" or "pjreddie".
    """

    input: InputSettings
    dialect: str
    built: Sequence[Built]
    numbers: int

    @property
    def previous(self) -> int:
        """Index of the layer before this one; -1, the picture, for the first."""
        return len(self.built) - 1

    def stride(self, shape: Shape) -> tuple[float, float]:
        """(vertical, horizontal) pixels of the input that one cell of a map of `shape` stands for."""
        return self.input.height / shape[1], self.input.width / shape[2]

    def shape(self, index: int) -> Shape:
        """Output shape of a layer, or of the picture for -1."""
        if index < 0:
            return self.input.channels, self.input.height, self.input.width
        return self.built[index].shape

    def afford(self, section: Section, key: str, numbers: int) -> None:
        """Raise CfgError, naming `key`, if a layer that stores so many numbers makes the network too large to hold."""
        total = self.numbers + numbers
        if total > MOST_NUMBERS:
            found = f"{total:,} stored numbers up to this layer"
            raise section.error(key, f"at most {MOST_NUMBERS:,}", found)
