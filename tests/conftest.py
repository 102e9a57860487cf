"""What every test may use: the shelves, Hypothesis profiles, and the `data` fixture."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
IN_CI = bool(os.environ.get("CI"))

# The folder of a test (or, at the top of tests/, the module its file is named for) is its shelf.
SLOW = {"crash", "seeds", "e2e"}
PURE = {"errors", "values", "kinds", "messages", "machine", "laws", "papers"}
PURE |= {"fleet", "sync", "board", "allocation", "groups", "consensus", "swarm"}

settings.register_profile("fast", max_examples=50, deadline=None, derandomize=IN_CI)
settings.register_profile(
    "soak", max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.load_profile("fast")  # `pytest --hypothesis-profile=soak` takes the other


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the shelf it stands on."""
    for item in items:
        shelf = item.path.relative_to(TESTS).parts[0].removeprefix("test_").removesuffix(".py")
        if shelf in SLOW:
            item.add_marker(shelf)
        elif shelf in PURE:
            item.add_marker("pure")


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    """Give the path of a published data set, as in `data("allocation/gap/gapa.txt")`.

    The folder is $CONCERTED_DATA, or shared/data beside the checkout. Without it the test is skipped;
    in CI, a folder that lacks the file is a failure.
    """
    named = os.environ.get("CONCERTED_DATA")
    folder = Path(named) if named else TESTS.parent.parent / "shared" / "data"

    def path_of(name: str) -> Path:
        if not folder.is_dir():
            if named:
                pytest.fail(f"CONCERTED_DATA={named} is not a folder: correct it, or unset it to skip this test")
            pytest.skip("set CONCERTED_DATA to the folder with the published data sets to run this test")
        path = folder / name
        if not path.exists():
            complain = pytest.fail if IN_CI else pytest.skip
            complain(f"{name} is missing in {folder}: add it, or correct the name in the test")
        return path

    return path_of
