"""Fixtures that every test file may use."""

from pathlib import Path

import pytest
import torch

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test's random weights are the same, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return PROJECT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the project: golden numbers, real models, data sets."""
    folder = PROJECT.parent / "shared"
    if not (folder / "darknet_golden").is_dir():
        pytest.skip("the reference material ../shared is not here")
    return folder


@pytest.fixture
def four(tmp_path: Path):  # -> tiny.DrawnSet
    """Four drawn pictures with six boxes of two classes, as a Darknet data set on disk."""
    import tiny  # here, as it imports torch, which not every test needs

    return tiny.write_set(tmp_path / "four", tiny.FOUR_PICTURES)
