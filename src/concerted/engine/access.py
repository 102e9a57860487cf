"""Who is at a door: tokens, kept as hashes, and a note in the log of what was refused."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from concerted.engine.permissions import ANONYMOUS, LOCAL, Principal
from concerted.errors import Invalid, NotAllowed, NotFound
from concerted.kinds import PRINCIPALS_STREAM
from concerted.ports.access import AddPrincipal, PrincipalAdded, Principals, PrincipalView, RevokePrincipal
from concerted.ports.commands import Role
from concerted.ports.store import Entry, PrincipalRecord, Row, Write
from concerted.values import encode, is_name

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Access"]

SECRET_BYTES = 32
REFUSALS_KEPT = 60  # refused commands that are written within a minute; more are refused and not written


class Access:
    """The principals of one coordinator.

    A token is `NAME.SECRET`.  As long as there is no admin among the principals, who can open the store's
    file or socket is one; from then on, who shows no token may only look.
    """

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self._known: dict[str, PrincipalRecord] = {}
        self._refusals: list[float] = []

    async def open(self) -> None:
        """Read the principals."""
        after: tuple[str, ...] = ()
        while page := await self._of.store.find(PrincipalRecord, after=after):
            self._known.update((record.name, record) for record in page)
            after = (page[-1].name,)

    def authenticate(self, token: str | None) -> Principal:
        """Say who shows this token.

        Raises:
            NotAllowed: nobody's, or of somebody who was revoked.
        """
        if token is None:
            guarded = any(one.role == "admin" and one.revoked_at is None for one in self._known.values())
            return ANONYMOUS if guarded else LOCAL
        name, _, secret = token.rpartition(".")
        record = self._known.get(name)
        right = hmac.compare_digest(record.token if record is not None else "", _hash(secret))
        if record is None or not right or record.revoked_at is not None:
            error = NotAllowed("this token is nobody's (any more); an admin gives a new one: `concerted principal add`")
            self._of.errand(self.refused(Principal(name or "nobody", "viewer"), "login", error))
            raise error
        return Principal(record.name, _role(record), record.token)

    def check(self, principal: Principal) -> None:
        """See whether a principal that came in once still may.

        Raises:
            NotAllowed: its token was taken back.
        """
        if principal.token:
            record = self._known.get(principal.name)
            if record is None or record.revoked_at is not None or record.token != principal.token:
                raise NotAllowed(f"the token of {principal.name} was taken back", principal=principal.name)

    async def refused(self, principal: Principal, command: str, error: NotAllowed) -> None:
        """Write that somebody wanted what is not theirs to do; at most sixty a minute."""
        now = self._of.clock.now()
        self._refusals = [at for at in self._refusals if at > now - 60]
        if len(self._refusals) < REFUSALS_KEPT:
            self._refusals.append(now)
            facts = {"command": command, "principal": principal.name, "role": principal.role, "reason": error.message}
            row = Row(stream=PRINCIPALS_STREAM, at=now, kind="access.refused", ref=principal.name, data=encode(facts))
            await self._of.rounds.write([row])

    async def add(self, command: AddPrincipal) -> PrincipalAdded:
        """Add a principal, or give it a new token."""
        if not is_name(command.name) or not command.name.isascii():
            raise Invalid(f"{command.name!r} cannot name a principal: 1..200 printable ASCII characters")
        secret = secrets.token_urlsafe(SECRET_BYTES)
        await self._write("principal.added", command.name, {"role": command.as_role, "token": _hash(secret)})
        return PrincipalAdded(name=command.name, role=command.as_role, token=f"{command.name}.{secret}")

    async def revoke(self, command: RevokePrincipal) -> PrincipalView:
        """Take a token back; a second time changes nothing."""
        record = self._known.get(command.name)
        if record is None:
            raise NotFound(f"there is no principal {command.name!r}; `concerted principal list` shows them")
        if record.revoked_at is None:
            await self._write("principal.revoked", command.name, {})
        return _view(self._known[command.name])

    def views(self, _: Principals) -> list[PrincipalView]:
        """Return all principals, by name."""
        return [_view(self._known[name]) for name in sorted(self._known)]

    async def heard(self, entry: Entry) -> None:
        """Take note of what another process has written about a principal."""
        record = await self._of.store.get(PrincipalRecord, entry.ref or "")
        if record is not None:
            self._known[record.name] = record

    async def _write(self, kind: str, name: str, data: dict[str, str]) -> None:
        row = Row(stream=PRINCIPALS_STREAM, at=self._of.clock.now(), kind=kind, ref=name, data=encode(data))
        await self._of.rounds.append(Write(rows=[row]))
        record = await self._of.store.get(PrincipalRecord, name)
        assert record is not None, f"principal {name} was written and is not there"
        self._known[name] = record


def _hash(secret: str) -> str:
    """Hash a secret of 256 random bits; nothing slower is needed, since nobody can guess one."""
    return hashlib.blake2b(secret.encode(), digest_size=32, person=b"concerted").hexdigest()


def _role(record: PrincipalRecord) -> Role:
    return record.role  # type: ignore[return-value]  # it was one when it was written


def _view(record: PrincipalRecord) -> PrincipalView:
    return PrincipalView(
        name=record.name, role=_role(record), created_at=record.created_at, revoked_at=record.revoked_at
    )  # fmt: skip
