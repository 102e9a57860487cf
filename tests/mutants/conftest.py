"""Planted bugs: each is put into a core, and the stored seed must find it; the core itself must pass that seed.

`pytest -m seeds tests/mutants --search` looks for another seed where the stored one finds its bug no more, at most
SEARCH_S of CPU for each, and stores it.  A mutant is (name, module, a piece of its text that stands there once, what
stands there instead); its functions take the place of the real ones while it is in.  A module is one of
concerted.consensus, unless its name is whole.
"""

import contextlib
import importlib
import inspect
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest

FOLDER = Path(__file__).parent
SEARCH_S = 120.0

Mutant = tuple[str, str, str, str]
Problems = Callable[[int], Sequence[str]]  # seed -> what is wrong under it


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--search", action="store_true", help="look for seeds that find the planted bugs")


@pytest.fixture
def exam(request: pytest.FixtureRequest) -> Callable[[str, Mutant, Problems], None]:
    """Give what examines one mutant of a protocol: exam(protocol, mutant, problems)."""

    def examine(protocol: str, mutant: Mutant, problems: Problems) -> None:
        name, file = mutant[0], FOLDER / f"{protocol}_seeds.json"
        seeds = json.loads(file.read_text()) if file.exists() else {}
        if request.config.getoption("--search", default=False):
            found = search(mutant, seeds.get(name), problems)
            seeds = {**(json.loads(file.read_text()) if file.exists() else {}), name: found}
            file.write_text(json.dumps(seeds, indent=2, sort_keys=True) + "\n")
        seed = seeds.get(name)
        assert seed is not None, f"{name}: no seed is known; `pytest -m seeds tests/mutants --search` looks for one"
        with planted(mutant):
            assert problems(seed), f"{name}: seed {seed} finds it no more; search for another one"
        assert not problems(seed)

    return examine


def search(mutant: Mutant, stored: int | None, problems: Problems) -> int | None:
    """Find a seed, the stored one first; None if there is none in the time there is."""
    until = time.process_time() + SEARCH_S
    with planted(mutant):
        for seed in itertools.chain(() if stored is None else (stored,), itertools.count()):
            if problems(seed):
                return seed
            if time.process_time() > until:
                break
    return None


@contextlib.contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Run the block with the bug in the code."""
    name, place, there, instead = mutant
    module = importlib.import_module(place if place.startswith("concerted.") else f"concerted.consensus.{place}")
    source = inspect.getsource(module)
    assert source.count(there) == 1, f"{name}: its text stands {source.count(there)} times there"
    twin = ModuleType(module.__name__)
    exec(compile(source.replace(there, instead), module.__file__, "exec"), twin.__dict__)
    kept = []
    for real, changed in pairs(module, twin):
        if real.__code__ != changed.__code__:
            kept.append((real, real.__code__))
            real.__code__ = changed.__code__
    assert kept, f"{name}: nothing is changed by it"
    try:
        yield
    finally:
        for real, code in kept:
            real.__code__ = code


def pairs(module: ModuleType, twin: ModuleType) -> Iterator[tuple[FunctionType, FunctionType]]:
    """Yield each function and method of a module with its twin."""
    for name, thing in vars(module).items():
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        if isinstance(thing, FunctionType):
            yield thing, vars(twin)[name]
        elif isinstance(thing, type):
            for member, held in vars(thing).items():
                function, other = unwrapped(held), unwrapped(vars(vars(twin)[name]).get(member))
                if isinstance(getattr(function, "__code__", None), CodeType) and other is not None:
                    yield function, other


def unwrapped(member):
    if isinstance(member, cached_property):
        return member.func
    return member.fget if isinstance(member, property) else getattr(member, "__func__", member)
