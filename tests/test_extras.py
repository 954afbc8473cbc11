"""yolo.extras: optional packages."""

import sys

import pytest

from yolo.extras import import_extra


def test_openvino_reports_nothing_to_its_makers(monkeypatch):
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    import_extra("json", "serve", "a test")
    with pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401
