"""`pytest tests/mutants --search` looks for the seeds anew and stores them."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--search", action="store_true", help="look for seeds that find the planted bugs")
