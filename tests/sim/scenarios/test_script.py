"""Files of scenarios: what is a step, what is a transcript, and what is said when something is wrong."""

import pytest

from concerted.errors import Invalid
from concerted.sim.scenarios.script import play_script

BEGIN = "servers 1 2 3\nelect 1\n"


def test_a_file_that_was_written_anew_stays_as_it_is() -> None:
    once = play_script(BEGIN + "\n# a comment\npropose 1 a\nsettle\n").text
    assert '    1 applies 2/1 "a"' in once.splitlines()
    assert play_script(once).text == once
    assert play_script(once).differences(once) == []


def test_a_transcript_that_has_changed_is_shown() -> None:
    once = play_script(BEGIN).text
    changed = once.replace("1 is leader of term 1", "1 is leader of term 7")
    found = play_script(changed).differences(changed)
    assert "-    1 is leader of term 7" in found
    assert "+    1 is leader of term 1" in found


def test_what_is_expected_and_does_not_come_is_told_with_its_line() -> None:
    assert play_script(BEGIN + "expect leader 2\n").problems == ("line 3: expect leader 2: the leader is 1",)


def test_nothing_is_played_behind_the_first_problem() -> None:
    played = play_script(BEGIN + "expect leader 2\npropose 1 a\n")
    assert len(played.problems) == 1
    assert played.text.endswith("propose 1 a\n")


def test_an_invariant_that_breaks_is_a_problem_unless_it_is_expected() -> None:
    steps = BEGIN + "backup 2\npartition 1 2 | 3\npropose 1 a\nsettle\ncrash 1\ncrash 2\nrestore 2\nstart 2\nheal\n"
    assert "leader completeness" in play_script(steps + "elect 3\n").problems[0]
    assert play_script(steps + "expect broken leader completeness\nelect 3\n").problems == ()
    assert play_script(BEGIN + "expect broken log matching\n").problems == (
        "expected to break, and does not: log matching",
    )


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("settel", "line 3: settel: there is no step 'settel'; did you mean settle?"),
        ("protocol chalk", "the protocols are "),
        ("timeout 9", "there is no server 9"),
        ("timeout one", "'one' is no server"),
        ("deliver x", "'x' is no way"),
        ("crash 1 behind write", "nothing to carry out"),
        ("servers 1", "server 1 is there already"),
    ],
)
def test_what_cannot_be_done_is_told_with_its_line(step: str, told: str) -> None:
    with pytest.raises(Invalid, match="line 3") as caught:
        play_script(BEGIN + step + "\n")
    assert told in caught.value.message


def test_a_dead_server_cannot_be_asked() -> None:
    with pytest.raises(Invalid, match="server 1 is dead; `start 1` first"):
        play_script(BEGIN + "crash 1\npropose 1 a\n")


def test_settings_are_in_force_from_the_beginning() -> None:
    played = play_script("set batch_count=1\n" + BEGIN + "propose 1 a b\nexpect leader 1\n")
    sent = [line for line in played.text.splitlines() if line.startswith("    1->2 Append")]
    assert [line.count('"') for line in sent] == [2, 2]


def test_a_step_may_be_told_briefly() -> None:
    told = play_script(BEGIN + "propose 1 a\nbriefly settle\n").text.splitlines()
    assert told[told.index("briefly settle") + 1 :] == [
        "    2 applies 1/1",
        "    3 applies 1/1",
        '    1 applies 2/1 "a"',
    ]
