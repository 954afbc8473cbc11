"""What can go wrong by a user's input or data. Each message is one line: file and place, what was found, what was
expected."""


class CfgError(ValueError):
    """A .cfg that cannot become a network: file, line and key."""


class WeightsError(ValueError):
    """A .weights file or checkpoint that does not fit its network: file, layer and bytes."""


class DatasetError(ValueError):
    """A .data, .names, list, label, annotation, result or image file that cannot be used: file and line."""


class DivergedError(ValueError):
    """A training run whose loss is not finite: the step and the loss's parts."""
