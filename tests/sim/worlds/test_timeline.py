"""Virtual time without an event loop."""

from concerted.sim.worlds.timeline import Life, Timeline


def test_things_happen_in_the_order_of_their_instants_and_equals_as_they_were_asked_for() -> None:
    timeline, life, seen = Timeline(), Life(), []
    for when, name in ((2.0, "c"), (1.0, "a"), (1.0, "b")):
        timeline.at(when, life, lambda name=name: seen.append((timeline.now, name)))
    timeline.run(life)
    assert seen == [(1.0, "a"), (1.0, "b"), (2.0, "c")]


def test_what_the_dead_have_asked_for_does_not_happen() -> None:
    timeline, life, other, seen = Timeline(), Life(), Life(), []
    timeline.at(1.0, other, seen.append, "never")
    timeline.at(2.0, life, seen.append, "then")
    other.over = True
    timeline.run(life)
    assert seen == ["then"]


def test_time_never_goes_back() -> None:
    timeline, life, seen = Timeline(), Life(), []
    timeline.at(5.0, life, lambda: timeline.at(1.0, life, lambda: seen.append(timeline.now)))
    timeline.run(life)
    assert seen == [5.0]


def test_nothing_happens_when_it_is_over() -> None:
    timeline, life, seen = Timeline(), Life(), []
    timeline.at(1.0, life, setattr, life, "over", True)
    timeline.at(2.0, life, seen.append, "late")
    timeline.run(life)
    assert (seen, timeline.now) == ([], 1.0)
