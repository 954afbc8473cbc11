"""Optional packages: imported only where they are used, and named with the line that installs them."""

import sys
from importlib import import_module
from types import ModuleType

from yolo.errors import MissingPackageError


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a package of an extra of this project.

    Args:
        module: what is imported, such as "av".
        extra: its row in pyproject.toml, such as "video".
        purpose: what needs it, the subject of the error's sentence.

    Raises:
        MissingPackageError: the package is not installed.
    """
    # OpenVINO and NNCF report each import and conversion to their makers, unless this package is missing
    sys.modules.setdefault("openvino_telemetry", None)
    try:
        return import_module(module)
    except ImportError as error:
        line = f"pip install 'yolo-darknet[{extra}]'"
        raise MissingPackageError(f"{purpose} needs the package {module}: {line}") from error
