"""The local link."""

import asyncio

from concerted.agent import Agent
from concerted.links.local import LocalLink
from concerted.messages import Custom, GetCapabilities
from concerted.testing.link_exam import Heard, envelope


def test_plain_functions_and_defaults_answer_from_inside_send() -> None:
    async def main() -> None:
        ann, heard = Agent("ann", capabilities={"writing": 0.5}), Heard()
        ann.on("PING")(lambda request: "pong")
        link = LocalLink(ann)
        await link.open(heard)
        link.send([envelope(Custom(name="PING"), "a"), envelope(GetCapabilities(), "b")])
        assert [reply.value for reply in heard.replies] == ["pong", {"writing": 0.5}]
        assert len(asyncio.all_tasks()) == 1
        await link.close("over")

    asyncio.run(main())


def test_a_changed_profile_is_told_while_the_link_is_open() -> None:
    async def main() -> None:
        ann, heard = Agent("ann"), Heard()
        link = LocalLink(ann)
        await link.open(heard)
        ann.change(capacity=2)
        await link.close("over")
        ann.change(capacity=3)
        assert [profile.capacity for profile in heard.profiles] == [2]

    asyncio.run(main())


def test_a_reply_may_lead_to_the_next_command_at_once() -> None:
    async def main() -> None:
        ann = Agent("ann")
        ann.on("PING")(lambda request: request.data)
        link = LocalLink(ann)

        class Chain(Heard):
            def replied(self, reply):  # type: ignore[no-untyped-def]
                super().replied(reply)
                if reply.value < 5:
                    link.send([envelope(Custom(name="PING", data=reply.value + 1), f"k{reply.value + 1}")])

        heard = Chain()
        await link.open(heard)
        link.send([envelope(Custom(name="PING", data=0), "k0")])
        assert [reply.value for reply in heard.replies] == [0, 1, 2, 3, 4, 5]
        await link.close("over")

    asyncio.run(main())
