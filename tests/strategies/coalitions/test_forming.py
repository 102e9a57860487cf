"""The forming of one coalition, step by step; test_coalition.py has whole runs."""

from types import SimpleNamespace
from typing import Any

import pytest

from concerted.config.settings import Coordination
from concerted.errors import Invalid
from concerted.groups.history import History
from concerted.strategies import choose
from concerted.strategies.coalitions.forming import Formation, rules_of
from concerted.strategies.workshop.staff import Staff
from concerted.values import Outcome, Task, TaskId

DEAL = Task(id=TaskId("deal"), required_capabilities={"x": 1.0}, max_budget=10.0)


@pytest.fixture
def rehearse(play: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Play the strategy that is this function of (run, formation); give its result to `check`."""

    def begin(bring: Any, body: Any, check: Any, **options: Any) -> None:
        async def coordinate(run: Any) -> Outcome:
            formation = Formation(run, rules_of(run), History(), Staff(run), "deal/1")
            return Outcome(success=True, result=await body(run, formation))

        async def act(stage: Any) -> None:
            await bring(stage)
            check(await stage.run("mine", (), **options))

        load = choose.load
        monkeypatch.setattr(choose, "load", lambda name: coordinate if name == "mine" else load(name))
        play(act)

    return begin


async def three(stage: Any) -> None:
    for name in ("ann", "bob", "cy"):
        await stage.agent(name, capabilities={"x": 0.5}, cost=1.0)


def test_it_says_who_was_eligible_and_what_was_chosen(rehearse: Any) -> None:
    async def body(run: Any, formation: Formation) -> Any:
        coalition = await formation.form(DEAL)
        assert coalition is not None
        return [
            coalition.agents,
            formation.agents,
            formation.proposed,
            [one.agents for one in await formation.ranked()],
        ]

    def check(view: Any) -> None:
        assert view.success, view.reason
        agents, eligible, proposed, ranked = view.result
        assert agents == ["ann", "bob"]
        assert (eligible, proposed) == (["ann", "bob", "cy"], 1)
        assert ["ann", "bob", "cy"] in ranked
        assert ["ann"] not in ranked

    rehearse(three, body, check)


def test_the_rest_are_assessed_by_the_same_worths(rehearse: Any) -> None:
    async def body(run: Any, formation: Formation) -> Any:
        await formation.form(DEAL)
        rest = await formation.assess(("bob", "cy"))
        alone = await formation.assess(("cy",))
        return [rest.value.total, rest.feasible, alone.feasible]

    rehearse(three, body, lambda view: equal(view.result, [8.0, True, False]))


def test_who_does_not_answer_does_not_apply(rehearse: Any) -> None:
    async def bring(stage: Any) -> None:
        await three(stage)
        for name in ("ann", "bob"):
            stage.players[name].deaf_to.add("GET_STATUS")

    async def body(run: Any, formation: Formation) -> Any:
        assert await formation.form(DEAL) is None
        return formation.why

    rehearse(
        bring,
        body,
        lambda view: equal(view.result, "no coalition keeps to the constraints and covers what the task requires"),
    )


def test_a_task_that_names_its_agent_has_it_in_the_coalition(rehearse: Any) -> None:
    async def body(run: Any, formation: Formation) -> Any:
        found = await formation.form(Task(id=TaskId("deal"), required_capabilities={"x": 1.0}, agent="cy"))
        return found.agents if found else formation.why

    rehearse(three, body, lambda view: equal(view.result, ["ann", "cy"]))


def test_what_costs_too_much_is_not_formed(rehearse: Any) -> None:
    async def body(run: Any, formation: Formation) -> Any:
        return [await formation.form(DEAL) is None, formation.why]

    rehearse(three, body, lambda view: equal(view.result[0], True), constraints={"max_cost": 1.5})


async def many(stage: Any) -> None:
    """Twenty who have some of x, each a little dearer than the one before; the last two have most of it."""
    for number in range(20):
        await stage.agent(f"a{number:02}", capabilities={"x": 0.2 if number < 18 else 0.5}, cost=1.0 + number / 100)


@pytest.mark.parametrize(
    ("options", "status", "bound"),
    [
        ({"max_coalition_size": 3}, "optimal", None),
        ({"max_coalition_size": 10, "max_valued": 4_000}, "feasible", pytest.approx(10.0 - 2 * 1.185, abs=1e-6)),
    ],
)
def test_among_more_than_16_the_best_are_found(
    rehearse: Any, options: dict[str, Any], status: str, bound: float | None
) -> None:
    async def body(run: Any, formation: Formation) -> Any:
        coalition = await formation.form(DEAL)
        assert coalition is not None
        rest = await formation.assess(("a18",))
        return [len(formation.agents), coalition.agents, coalition.selection, coalition.bound, rest.feasible]

    def check(view: Any) -> None:
        assert view.success, view.reason
        assert view.result == [20, ["a18", "a19"], status, bound, False]

    rehearse(many, body, check, **options)


def test_of_more_than_may_be_chosen_among_those_stay_who_bring_most(rehearse: Any) -> None:
    async def body(run: Any, formation: Formation) -> Any:
        assert await formation.form(DEAL) is not None
        return formation.agents

    rehearse(many, body, lambda view: equal(view.result, ["a00", "a18", "a19"]), max_candidates=3)


def test_a_search_that_finds_nothing_says_how_far_it_went(rehearse: Any) -> None:
    async def bring(stage: Any) -> None:
        for number in range(20):
            await stage.agent(f"a{number:02}", capabilities={"x": 0.05})

    async def body(run: Any, formation: Formation) -> Any:
        assert await formation.form(DEAL) is None
        return formation.why

    def check(view: Any) -> None:
        assert view.result.startswith("none of the ")
        assert view.result.endswith("raise coalition.max_valued to look at more")

    rehearse(bring, body, check, max_valued=500)


def test_options_over_settings_are_checked() -> None:
    told = SimpleNamespace(config=Coordination(), options={"values": "dice"})
    with pytest.raises(Invalid, match="the options values of the run do not fit"):
        rules_of(told)  # type: ignore[arg-type]


def equal(found: Any, expected: Any) -> None:
    assert found == expected
