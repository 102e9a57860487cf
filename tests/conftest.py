"""What every test may use: the shelves, Hypothesis profiles, and fixtures: published data, stores, folders, memory."""

import asyncio
import gc
import inspect
import os
import secrets
import tempfile
import tracemalloc
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
IN_CI = bool(os.environ.get("CI"))

# The folder of a test (or, at the top of tests/, the module its file is named for) is its shelf.
SLOW = {"crash", "seeds", "e2e", "exams"}
SHELVES = {shelf: shelf for shelf in SLOW} | {"mutants": "seeds"}
# What is begun first: what takes long and waits for other processes more than it computes; what is short comes last.
ORDER = ["crash", "seeds", "exams", "e2e"]
PURE = {"errors", "values", "kinds", "messages", "machine", "laws", "papers"}
PURE |= {"fleet", "sync", "board", "allocation", "groups", "consensus", "swarm"}

settings.register_profile("fast", max_examples=20, deadline=None, derandomize=IN_CI)
# Under other Pythons and hash seeds, where the same laws have been tried more often before.
settings.register_profile("quick", max_examples=10, deadline=None, derandomize=IN_CI)
settings.register_profile(
    "soak", max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.load_profile("fast")  # `pytest --hypothesis-profile=soak` takes the other


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage: what is collected stays to the end, and no later search goes through it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the shelf it stands on, and begin with the shelves that take longest."""
    for item in items:
        shelf = item.path.relative_to(TESTS).parts[0].removeprefix("test_").removesuffix(".py")
        if shelf in SHELVES:
            item.add_marker(SHELVES[shelf])
        elif shelf in PURE and not any(item.get_closest_marker(slow) for slow in SLOW):
            item.add_marker("pure")
    items.sort(key=place_of)


def place_of(item: pytest.Item) -> int:
    """Return the place of a test's shelf in the order in which they are begun."""
    marks = {mark.name for mark in item.iter_markers()}
    return next((place for place, shelf in enumerate(ORDER) if shelf in marks), len(ORDER))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


def peak_of(act: Callable[[], object]) -> int:
    """Measure the most memory that something holds beyond what there was, in bytes."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="session")
def bytes_of() -> Callable[[Callable[[], object]], int]:
    """Measure an act by its memory: one that copies what thousands hold shows, and no clock is asked."""
    return peak_of


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


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    """Give the URL of a PostgreSQL database that was made for this run of the tests, and is dropped after it.

    The server is the one of $CONCERTED_POSTGRES, or the one on this machine.  Without one the test is
    skipped; in CI that is a failure.
    """
    import psycopg

    server = os.environ.get("CONCERTED_POSTGRES") or "postgresql://postgres@127.0.0.1:5432/postgres"
    try:
        connection = psycopg.connect(server, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        complain = pytest.fail if IN_CI or os.environ.get("CONCERTED_POSTGRES") else pytest.skip
        how = "docker run -d -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres:17"
        complain(f"start a PostgreSQL ({how}) or name one in CONCERTED_POSTGRES: {error}")
    name = f"concerted_test_{os.getpid()}_{secrets.token_hex(3)}"
    with connection:
        connection.execute(f"create database {name} encoding 'UTF8' template template0")
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        connection.execute(f"drop database {name} with (force)")


EMPTIED = """
do $$ declare name text; begin
    for name in select tablename from pg_tables where schemaname = current_schema() and tablename <> 'concerted_schema'
    loop execute format('delete from %I', name); end loop;
    insert into counter values (0);
end $$"""


@pytest.fixture(scope="session")
def emptied_schemas() -> list[str]:
    """Keep the schemas that tests have used and that are empty again: making one takes longer than most tests."""
    return []


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder of the test's own in which nodes listen and agents keep what they have done, here and in children.

    The path of a socket is short, and so must be the folder's: `tmp_path` is too long.
    """
    with tempfile.TemporaryDirectory(prefix="cc", dir="/tmp") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setenv("XDG_STATE_HOME", str(Path(folder, "state")))
        yield Path(folder)


@pytest.fixture
def postgres(postgres_database: str, emptied_schemas: list[str], places: Path) -> Iterator[Callable[[], str]]:
    """Give what makes the URL of an empty store in PostgreSQL; who changes its schema makes one of its own."""
    import psycopg

    used: list[str] = []

    def url() -> str:
        used.append(emptied_schemas.pop() if emptied_schemas else f"test_{secrets.token_hex(4)}")
        return f"{postgres_database}{'&' if '?' in postgres_database else '?'}schema={used[-1]}"

    yield url
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        for schema in used:
            connection.execute(f"set search_path = {schema}")
            if connection.execute("select to_regclass('counter')").fetchone() != (None,):
                connection.execute(EMPTIED)
                emptied_schemas.append(schema)
