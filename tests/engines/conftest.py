"""Fixtures of the engines' tests."""

import pytest

from yolo.engines.cache import CACHE_VARIABLE


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder, an empty one of this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder
