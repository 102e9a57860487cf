"""Names of what can be held: how they are written, and whether two of them can mean the same thing."""

import itertools
import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concerted.board.names import NAME_BYTES, PATTERN_LETTERS, SEGMENTS_MAX, is_plain, normalise, overlap
from concerted.errors import Invalid

# writing


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("src/a.py", "src/a.py"),
        ("./src//a.py", "src/a.py"),
        ("src/./a.py", "src/a.py"),
        ("src/a.py/.", "src/a.py"),
        ("src/", "src/"),
        ("src//./", "src/"),
        ("/etc//passwd", "/etc/passwd"),
        ("/", "/"),
        ("port:8080", "port:8080"),
        ("symbol:pkg.mod.fn", "symbol:pkg.mod.fn"),
        ("...", "..."),
        ("src/**/**/a.py", "src/**/a.py"),
        ("./**", "**"),
    ],
)
def test_one_thing_has_one_name(written: str, normal: str) -> None:
    assert normalise(written) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "printable bytes"),
        (" a", "no space at either end"),
        ("a\n", "printable bytes"),
        ("\ud800", "printable bytes"),
        ("x" * (NAME_BYTES + 1), "512 printable bytes"),
        ("*" + "x" * PATTERN_LETTERS, "257 characters; with wildcards a name has at most 256"),
        ("../secrets", r"`\.\.` depends on where one stands"),
        ("a/../b", r"`\.\.` depends on where one stands"),
        (".", "names nothing"),
        ("./", "names nothing"),
        ("v[0-9", "not closed"),
        ("v[", "not closed"),
        ("v[]", "not closed"),
        ("a[b/c]", "not closed in its segment"),
        ("v[9-0]", "9-0 runs backwards"),
        ("/".join("a" * (SEGMENTS_MAX + 1)), "65 segments, at most 64"),
    ],
)
def test_what_cannot_be_a_name_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        normalise(name)


def test_overlap_refuses_what_is_no_name() -> None:
    with pytest.raises(Invalid, match="names nothing"):
        overlap("a", ".")


@pytest.mark.parametrize("name", ["gpu:0", "src/a.py", "/etc/passwd", "a]", "x!y^z-"])
def test_a_name_without_wildcards_stands_for_itself(name: str) -> None:
    assert is_plain(name)


@pytest.mark.parametrize("name", ["src/", "/", "*", "a?", "v[01]", "src/**"])
def test_a_prefix_and_a_glob_stand_for_many(name: str) -> None:
    assert not is_plain(name)


# meaning

SAME = [
    ("port:8080", "port:8080"),
    ("./a//b", "a/b"),
    ("src/", "src/a.py"),
    ("src/", "src/deep/below/a.py"),
    ("src/", "src/deep/"),
    ("src/", "src/**"),
    ("src/**", "src/a"),
    ("**", "anything/at/all"),
    ("**", "port:8080"),
    ("*", "port:8080"),
    ("/", "/etc/passwd"),
    ("src/*.py", "src/a.py"),
    ("src/*.py", "src/a*"),
    ("src/a?.py", "src/?b.py"),
    ("src/**/a.py", "src/a.py"),
    ("src/**/a.py", "src/x/y/a.py"),
    ("src/**/a.py", "**/lib/*.py"),
    ("**/test_*.py", "tests/"),
    ("src/*/", "src/a/b"),
    ("src/**/", "src/a"),
    ("v[0-9]", "v[5-7]"),
    ("v[!0-9]", "v[a-c]"),
    ("v[^0-9]", "vx"),
    ("[]]", "[]x]"),
    ("[[]", "[[x]"),
    ("[a-]", "-"),
    ("[-a]", "-"),
    ("a**b", "axyzb"),
    ("...", "?.."),
]

APART = [
    ("port:8080", "port:8081"),
    ("A", "a"),
    ("src", "src/"),
    ("src", "src/**"),
    ("src/", "srcs/a"),
    ("src/a.py", "src/a.py/b"),
    ("*", "src/a"),
    ("*.py", "src/a.py"),
    ("/", "etc/passwd"),
    ("**", "/etc/passwd"),
    ("/**", "etc"),
    ("src/*.py", "src/*.txt"),
    ("src/*.py", "lib/*.py"),
    ("src/?", "src/??"),
    ("src/**/a.py", "src/**/b.py"),
    ("src/*/", "src/a"),
    ("a/**/b", "a/**/c"),
    ("v[0-4]", "v[5-9]"),
    ("v[!0-9]", "v[0-9]"),
    ("v[!0-9]", "v"),
    ("[]]", "[[]"),
    ("a*b", "a/b"),
    ("?", "[.]"),
    ("[.]", "[.]"),
    ("[.][.]", "**"),
    ("a/[.]/", "**/b"),
    ("?.", "[.]?"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_names_that_share_something_overlap(one: str, other: str) -> None:
    assert overlap(one, other)
    assert overlap(other, one)


@pytest.mark.parametrize(("one", "other"), APART)
def test_names_that_share_nothing_do_not_overlap(one: str, other: str) -> None:
    assert not overlap(one, other)
    assert not overlap(other, one)


# against brute force: a slow and plain matcher, and every short text there is

LETTERS = ("a", "b", ".", "/")
TEXTS = [
    text
    for length in range(1, 6)
    for text in map("".join, itertools.product(LETTERS, repeat=length))
    if all(segment not in ("", ".", "..") for segment in text.split("/"))
]


@cache
def belongs(text: str, pattern: str) -> bool:
    """Say whether a plain name is among what a pattern stands for, by trying everything."""
    if pattern.endswith("/"):
        pattern += "**"
    segments = [one for one in pattern.split("/") if one != ""]
    if segments[-1] == "**":
        segments.insert(-1, "*")
    return _fits(text.split("/"), segments)


def _fits(text: list[str], segments: list[str]) -> bool:
    if not segments:
        return not text
    if segments[0] == "**":
        return any(_fits(text[skipped:], segments[1:]) for skipped in range(len(text) + 1))
    return bool(text) and _fits_segment(text[0], segments[0]) and _fits(text[1:], segments[1:])


@cache
def _fits_segment(text: str, segment: str) -> bool:
    expression = segment.replace(".", r"\.").replace("*", ".*").replace("?", ".").replace("[!", "[^")
    return re.fullmatch(expression, text) is not None


segment_texts = st.lists(st.sampled_from(["a", "b", ".", "*", "?", "[ab]", "[!a]", "[!.]"]), min_size=1, max_size=3)
segments = st.one_of(st.just("**"), segment_texts.map("".join))
patterns = st.builds(
    lambda parts, tail: "/".join(parts) + tail, st.lists(segments, min_size=1, max_size=3), st.sampled_from(["", "/"])
).filter(lambda name: not any(one in (".", "..") for one in name.split("/")))


@given(patterns, st.sampled_from(TEXTS))
@settings(max_examples=settings().max_examples * 5)
def test_a_plain_name_overlaps_with_exactly_the_patterns_to_which_it_belongs(pattern: str, text: str) -> None:
    assert overlap(pattern, text) == belongs(text, pattern)


@given(patterns, patterns)
@settings(max_examples=settings().max_examples * 4)
def test_patterns_that_share_a_short_name_overlap_and_overlap_is_mutual(one: str, other: str) -> None:
    shared = next((text for text in TEXTS if belongs(text, one) and belongs(text, other)), None)
    met = overlap(one, other)
    assert met == overlap(other, one)
    assert met or shared is None, f"both stand for {shared}"


short = st.lists(st.sampled_from(["a", ".", "*", "?", "[!.]"]), min_size=1, max_size=2).map("".join)
short_patterns = st.one_of(
    short, st.tuples(short, st.one_of(short, st.just("**"))).map("/".join), short.map("**/{}".format)
).filter(lambda name: not any(one in (".", "..") for one in name.split("/")))


@given(short_patterns, short_patterns)
@settings(max_examples=settings().max_examples * 4)
def test_overlap_is_exact(one: str, other: str) -> None:
    """Patterns so short that whatever they share, they share a text of at most five letters."""
    shared = [text for text in TEXTS if belongs(text, one) and belongs(text, other)]
    assert overlap(one, other) == bool(shared)


def test_every_name_overlaps_with_itself_unless_it_stands_for_nothing() -> None:
    assert overlap("src/[ab]*/**", "src/[ab]*/**")
    assert not overlap("a/[.]", "a/[.]")


def test_patterns_of_the_greatest_length_and_many_wildcards_are_compared_to_the_end() -> None:
    many = "*a" * (PATTERN_LETTERS // 4)
    assert not overlap(many + "b", many + "c")
    assert overlap(many + "*", many + "c")
