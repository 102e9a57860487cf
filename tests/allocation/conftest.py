"""What tests of allocation may use: whether a solver is installed."""

from importlib.util import find_spec

import pytest


@pytest.fixture(scope="session")
def solver_installed() -> bool:
    """Say whether HiGHS is there, by itself or in scipy; our own code answers without it."""
    return find_spec("highspy") is not None or find_spec("scipy") is not None
