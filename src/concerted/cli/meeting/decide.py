"""`concerted decide`, `vote` and `decision`: put a question to voters, vote on it, and see what came of it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from concerted.cli.exits import FAILED, OK, TIMED_OUT, show_note
from concerted.cli.meeting.kept import kept_as, kept_options
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, clip, write_json, write_table
from concerted.cli.primitives import (
    acting,
    as_option,
    do,
    do_there,
    ending_code,
    group_file_option,
    json_value,
    names,
    patience,
    require_agent,
    span,
    wait_options,
)
from concerted.cli.primitives_list import list_of
from concerted.client.calls import Calls
from concerted.consensus.decisions.certificate import Verification, verify
from concerted.consensus.decisions.decision import DecisionResult
from concerted.consensus.decisions.rule import rule_of
from concerted.consensus.decisions.signatures import new_key, public_key
from concerted.errors import Invalid, NotFound, WrongPhase
from concerted.launch import Session

__all__ = ["decide", "decision", "vote"]

Function = Callable[..., Any]

KEY_BYTES = 32


def _pair(given: str, what: str) -> tuple[str, str]:
    name, sign, value = given.rpartition("=")
    if not (sign and name and value):
        raise click.BadParameter(f"{given!r}: write NAME={what}")
    return name, value


def _weight(given: Any) -> tuple[str, int]:
    """Read a voter and its weight: `ann=2`."""
    if not isinstance(given, str):
        return given  # type: ignore[no-any-return]
    name, value = _pair(given, "WEIGHT")
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is no weight; a whole number above 0")
    return name, int(value)


def _key(given: Any) -> tuple[str, str]:
    """Read a voter and its public key: `ann=3d40...`."""
    return _pair(given, "PUBLIC_KEY") if isinstance(given, str) else given


def _terms(function: Function) -> Function:
    """Add the options with which a decision is opened."""
    for option in (
        click.option("--id", "id", metavar="ID", help="By default a new one; with it the same line goes on waiting."),
        kept_options,
        click.option("--key", "keys", type=_key, multiple=True, metavar="NAME=KEY", help="A voter who must sign."),
        click.option("--proposal", type=json_value, metavar="JSON", help="What is proposed, for programs."),
        click.option("--option", "options", multiple=True, metavar="NAME", help="What to choose from, one each."),
        click.option("--deadline", type=span, metavar="SPAN", help="When it ends, from now: 1h; by default never."),
        click.option(
            "--silence", type=click.Choice(["nothing", "abstain", "reject", "accept"]), default="nothing",
            help="What a ballot that never came counts as.",
        ),
        click.option("--veto", type=names, metavar="A,B", help="Voters whose rejection alone rejects."),
        click.option("--quorum", default="0", metavar="SHARE", help="How much of the electorate must vote: 1/2, 75%."),
        click.option(
            "--base", type=click.Choice(["electorate", "cast"]), default="electorate",
            help="A share of whom the rule is: of all voters, or of the votes cast.",
        ),
        click.option(
            "--rule", default="majority", metavar="SHARE",
            help="How much must accept: majority (the default), all, 2/3 (at least that), >2/3.",
        ),
        click.option("--weight", "weights", type=_weight, multiple=True, metavar="NAME=N", help="A voter's weight."),
        click.option("--voters", type=names, required=True, metavar="A,B", help="Who votes, with commas between."),
    ):  # fmt: skip
        function = option(function)
    return function


@click.command(short_help="Put a question to voters, and wait for the outcome.")
@click.argument("question")
@_terms
@wait_options
@as_option
@store_option
@json_option
def decide(question: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Put a question to voters, and wait for the outcome.

    Voters answer with `concerted vote ID accept`.  It waits until the deadline, or as --wait says.  The exit code
    is 0 only if the proposal was accepted.
    """
    wait_s, who = patience(given), acting(agent)
    id = given["id"] or f"decision-{uuid.uuid4().hex[:8]}"
    terms = _opening(given)

    async def work(session: Session) -> DecisionResult:
        told: DecisionResult = await session.decide(question, id=id, timeout_s=0.0, agent=who, **terms)
        if told.outcome is None and wait_s != 0:
            show_note(f"{id}: {told.voted} of {told.voters} have voted; to vote: concerted vote {id} accept --as WHO")
            told = await session.decide(question, id=id, timeout_s=wait_s, agent=who, **terms)
        return told

    told = do(store, work, stopped=f"decision {id} stays open; concerted decision wait {id} waits for it")
    return _show(told, as_json=as_json, code=OK if wait_s == 0 and told.outcome is None else None)


@click.command(short_help="Vote in a decision.")
@click.argument("id")
@click.argument("choice")
@click.option("--reason", default="", metavar="TEXT", help="Why; everybody can read it.")
@click.option("--key-file", type=click.Path(path_type=Path), metavar="FILE", help="The private key to sign with.")
@click.option("--wait", type=span, metavar="SPAN", help="Wait so long for the outcome; by default not at all.")
@group_file_option
@as_option
@store_option
@json_option
def vote(id: str, choice: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Vote in a decision: accept (or one of its options), reject or abstain.

    The first ballot of a voter counts.  A later, different one is written and ignored, and the exit code is 1.
    """
    who, wait_s = require_agent(agent, "votes"), given["wait"] or 0.0
    key = None if given["key_file"] is None else _read(given["key_file"]).strip()

    async def work(session: Calls) -> DecisionResult:
        return await session.decision(id).vote(choice, given["reason"], agent=who, key=key, timeout_s=wait_s)

    stopped = f"a ballot of {who} that is written stays so"
    told = do_there(given["group_file"], store, work, stopped=stopped)
    if told.ignored:
        show_note(f"the first ballot of {who} counts, {told.ballot}; this one is written and ignored")
    code = FAILED if told.ignored else OK if given["wait"] is None else None
    return _show(told, as_json=as_json, code=code)


@click.group(short_help="Look at decisions: wait, withdraw, verify.")
def decision() -> None:
    """Look at decisions: wait, withdraw, verify.

    A decision is opened by `concerted decide`.
    """


@decision.command(short_help="Show who has voted how, and what came of it.")
@click.argument("id")
@group_file_option
@store_option
@json_option
def show(id: str, group_file: Path | None, store: str | None, as_json: bool) -> int:
    """Show who has voted how, and what came of it."""
    told = do_there(group_file, store, lambda session: session.decision(id).get())
    return _show(told, as_json=as_json, code=OK)


@decision.command(short_help="Wait until a decision is closed, without voting.")
@click.argument("id")
@wait_options
@group_file_option
@as_option
@store_option
@json_option
def wait(id: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Wait until a decision is closed, without voting."""
    wait_s = patience(given)
    who = acting(agent)
    told = do_there(given["group_file"], store, lambda session: session.decision(id).wait(agent=who, timeout_s=wait_s))
    return _show(told, as_json=as_json)


@decision.command(short_help="Withdraw the proposal; the decision lapses.")
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help="Why.")
@as_option
@store_option
@json_option
def cancel(id: str, reason: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Withdraw the proposal, as who opened it or an admin.  Exit code 0: it is over."""
    told = do(store, lambda session: session.decision(id).cancel(reason, agent=acting(agent)))
    if told.cause != "withdrawn":
        show_note(f"decision {id} was closed before; nothing is withdrawn")
    return _show(told, as_json=as_json, code=OK)


@decision.command(short_help="Write the certificate of a decision, as JSON.")
@click.argument("id")
@store_option
@json_option
def certificate(id: str, store: str | None, as_json: bool) -> int:  # noqa: ARG001
    """Write the certificate of a decision that is closed, so that anybody can compute it again.

    It is JSON with --json and without.
    """
    told = do(store, lambda session: session.decision(id).get())
    if told.certificate is None:
        raise WrongPhase(f"decision {id} is still open, {told.voted} of {told.voters} have voted", status=told.status)
    write_json(told.certificate)
    return OK


@decision.command("verify", short_help="Compute a certificate again.")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def verify_file(file: Path, as_json: bool) -> int:
    """Compute a certificate again, from a file and nothing else.  Exit code 1: something is wrong with it."""
    found: Verification = verify(_read(file))
    if as_json:
        write_json(found)
        return OK if found.valid else FAILED
    outcome = found.outcome if found.chosen in (None, "accept") else f"{found.outcome} ({found.chosen})"
    click.echo(f"valid: {outcome}" if found.valid else "not valid")
    for problem in found.problems:
        click.echo(f"  {problem}")
    if found.signed:
        click.echo(f"signed: {', '.join(found.signed)}")
    if found.unsigned:
        click.echo(f"not signed: {', '.join(found.unsigned)}")
    return OK if found.valid else FAILED


@decision.command("new-key", short_help="Make a key to sign ballots with.")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def make_key(file: Path, as_json: bool) -> int:
    """Make a key to sign ballots with: the private half goes to FILE, the public half is printed."""
    private = new_key(os.urandom(KEY_BYTES))
    public = public_key(private)
    try:
        with open(file, "x", opener=_private, encoding="ascii") as opened:
            opened.write(f"{private}\n")
    except OSError as error:
        raise Invalid(f"{file} cannot be written: {error.strerror}; an old key is never written over") from error
    if as_json:
        write_json({"public": public})
    else:
        click.echo(public)
    return OK


decision.add_command(list_of("decision", "decisions"))


def _opening(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a decision is opened with."""
    voters = dict.fromkeys(given["voters"], 1)
    strangers = [name for name, _ in given["weights"] if name not in voters]
    if strangers:
        raise Invalid(f"--weight of {', '.join(strangers)}, who is not among the voters")
    if len(voters) < len(given["voters"]):
        raise Invalid("a voter is named twice; --weight NAME=2 lets one count more")
    rule = rule_of(
        given["rule"],
        base=given["base"],
        quorum=given["quorum"],
        vetoes=list(given["veto"] or ()),
        silence=given["silence"],
    )
    terms = {
        "voters": voters | dict(given["weights"]),
        "rule": rule,
        "deadline_s": given["deadline"],
        "proposal": given["proposal"],
        "keys": dict(given["keys"]),
    }
    return terms | kept_as(given) | ({"options": given["options"]} if given["options"] else {})


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise NotFound(f"{file} cannot be read: {error}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _show(told: DecisionResult, *, as_json: bool, code: int | None = None) -> int:
    """Write how it stands; return the exit code, by default that of its outcome."""
    if as_json:
        write_json(told)
    else:
        click.echo(_in_words(told))
        ballots = told.certificate.ballots if told.certificate is not None else ()
        write_table(("voter", "vote", "reason"), [(one.voter, one.choice, clip(one.reason)) for one in ballots])
    for warning in told.warnings:
        show_note(warning)
    if told.outcome is None and code is None:
        show_note(f"it is not decided yet; to go on waiting: concerted decision wait {told.id}")
    if code is not None:
        return code
    return TIMED_OUT if told.cause == "deadline" and told.status == "lapsed" else ending_code(told.status)


def _in_words(told: DecisionResult) -> str:
    chosen = f" ({told.chosen})" if told.chosen not in (None, "accept") else ""
    words = [f"{told.id} {told.status}{chosen}: {told.voted} of {told.voters} have voted"]
    if told.outcome is None:
        words.append(told.demands)
        if told.deadline_at is not None:
            words.append(f"it ends in {ago(told.deadline_at - time.time())}")
    else:
        words.append(told.why + (f" ({told.reason})" if told.reason else ""))
    gone = set(told.lost_agents)
    if told.missing:
        words.append(f"missing: {', '.join(f'{who} (gone)' if who in gone else who for who in told.missing)}")
    if told.equivocated:
        words.append(f"signed two different ballots: {', '.join(told.equivocated)}")
    return "; ".join(words)
