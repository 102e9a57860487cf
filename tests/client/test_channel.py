"""A channel: what members say to each other, read by all in one order."""

import asyncio

import pytest

from concerted.agent import Agent
from concerted.errors import Invalid, NotAllowed
from concerted.launch import open_coordinator
from concerted.values import Objective, RunId, Task, TaskId

TRIO = ("ann", "bob", "cy")


def play(folder, main):
    async def run():
        async with open_coordinator(f"sqlite:///{folder / 'x.db'}") as c:
            await main(c)

    asyncio.run(run())


def test_all_members_read_the_same_in_the_same_order_their_own_words_too(tmp_path):
    async def main(c):
        ends = {name: c.channel("team", TRIO, name) for name in TRIO}
        await asyncio.gather(*(end.say({"from": name}) for name, end in ends.items()))
        await ends["cy"].say("and more")
        read = [[(one.number, one.sender, one.content) for one in await end.read()] for end in ends.values()]
        assert read[0] == read[1] == read[2]
        assert sorted(sender for _, sender, _ in read[0][:3]) == list(TRIO)
        assert read[0][3][1:] == ("cy", "and more")
        assert [number for number, _, _ in read[0]] == sorted(number for number, _, _ in read[0])

    play(tmp_path, main)


def test_one_reads_on_from_where_one_was_and_may_read_again(tmp_path):
    async def main(c):
        ann, bob = (c.channel("team", TRIO, name) for name in ("ann", "bob"))
        for count in range(5):
            await ann.say(count)
        first = await bob.read(limit=2)
        then = await bob.read(first[-1].number)
        assert [one.content for one in (*first, *then)] == [0, 1, 2, 3, 4]
        assert await bob.read(then[-1].number) == []
        assert [one.content for one in await bob.read()] == [0, 1, 2, 3, 4]

    play(tmp_path, main)


def test_what_comes_from_no_member_is_passed_over_and_other_messages_stay_where_they_are(tmp_path):
    async def main(c):
        await c.inbox("dee").send("bob", "let me in", type="team")
        await c.inbox("ann").send("bob", "in private")
        bob = c.channel("team", TRIO, "bob")
        assert await bob.read() == []
        await c.channel("team", TRIO, "ann").say("to all")
        assert [one.content for one in await bob.read(limit=1)] == ["to all"]
        assert [one.content for one in await c.inbox("bob").fetch()] == ["in private"]

    play(tmp_path, main)


def test_who_reads_may_wait_for_the_next_word(tmp_path):
    async def main(c):
        waiting = asyncio.ensure_future(c.channel("team", TRIO, "bob").read(timeout_s=30))
        await c.channel("team", TRIO, "ann").say("at last")
        assert [one.content for one in await waiting] == ["at last"]

    play(tmp_path, main)


def test_only_a_member_has_an_end_and_what_is_said_has_a_bound(tmp_path):
    async def main(c):
        with pytest.raises(NotAllowed, match="dee is not in channel team; in it are ann, bob, cy"):
            c.channel("team", TRIO, "dee")
        with pytest.raises(Invalid, match="at most 65536"):
            await c.channel("team", TRIO, "ann").say("x" * (65 << 10))

    play(tmp_path, main)


def test_the_same_request_is_said_once(tmp_path):
    async def main(c):
        ann = c.channel("team", TRIO, "ann")
        await ann.say("once", request_id="r1")
        await ann.say("once", request_id="r1")
        assert len(await ann.read()) == 1

    play(tmp_path, main)


def test_members_of_a_coalition_agree_on_their_channel_while_they_do_their_parts(tmp_path):
    """The channel is what the contract and the parts say; nobody has to know anything else."""

    async def main(c):
        heard = {}

        def member(name, **profile):
            agent = Agent(name, **profile)

            @agent.task()
            async def sign(task):
                told = task.payload["coalition"]
                channel = c.channel(told["channel"], told["members"], name)
                if told["role"] != "leader":
                    await channel.say(f"{name} has signed")
                    return name
                heard[name] = [(one.sender, one.content) for one in await channel.read()]
                return name

            return agent

        await c.register(member("ann", capabilities={"french": 0.9, "leadership": 0.9}, cost=3.0))
        await c.register(member("bob", capabilities={"law": 0.6}, cost=1.0))
        task = Task(id=TaskId("deal"), required_capabilities={"french": 0.8, "law": 0.5}, max_budget=20.0)
        view = await c.run("coalition", Objective(tasks=(task,)), id=RunId("contracts"))
        assert view.success, view.reason
        assert view.result["coalitions"][0]["communication_channels"] == ["coalition/contracts/deal/1"]
        assert heard == {"ann": [("bob", "bob has signed")]}

    play(tmp_path, main)
