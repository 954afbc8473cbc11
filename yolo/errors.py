"""Exceptions for mistakes in a user's input. Each message is one line: file and place, found, expected."""

MAX_SHOWN = 60  # characters of a faulty value in an error message


class CfgError(ValueError):
    """A .cfg from which no network can be built: file, line and key."""


class WeightsError(ValueError):
    """A .weights file or checkpoint that does not fit its network: file, layer and bytes."""


class DatasetError(ValueError):
    """A .data, .names, list, label, annotation, result or image file that cannot be used: file and line."""


class DivergedError(ValueError):
    """A training run whose loss is not finite: the step and the parts of the loss."""


class OutputError(ValueError):
    """An output folder or file that must not be written: it holds another run, or another process writes it."""


class ExportError(ValueError):
    """A network that cannot be exported as asked, or an exported file that computes something else."""


class MissingPackageError(ValueError):
    """An optional package that is not installed: what needs it, and the line that installs it."""


def shorten(text: str) -> str:
    """Return at most MAX_SHOWN characters of a faulty value, to show it in an error message."""
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def noun(count: int, thing: str) -> str:
    """Return `image` for 1, `images` or `classes` for all other counts; thing: a regular noun in the singular."""
    plural = thing + ("es" if thing.endswith(("s", "x", "ch")) else "s")
    return thing if count == 1 else plural


def counted(count: int, thing: str) -> str:
    """Return `1 image`, `2000 images`; thing: as of `noun`. Pages write `2,000 images`, by `count_text`."""
    return f"{count} {noun(count, thing)}"
