"""What a builder returns and what it may look at: the records between a cfg and its network."""

from dataclasses import dataclass

from torch import nn

from yolo.settings import HeadSettings, InputSettings

Shape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Built:
    """A layer as the graph needs it. sources: indices of the layers it reads, in order; -1 is the picture."""

    module: nn.Module
    sources: tuple[int, ...]
    shape: Shape
    head: HeadSettings | None = None


@dataclass(frozen=True)
class Before:
    """What a builder may look at: the input and every layer built so far."""

    input: InputSettings
    built: tuple[Built, ...]

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
