"""The packages that solve games: which they are; they live beside the other peers, each in its own environment."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from beside.comparing import Contestant, beside
from peers import Peer

SHAPIQ = Peer("shapiq", "1.4.1", "with_shapiq.py")
COOPGAME = Peer("coopgame-py", "0.3.0", "with_coopgame.py", ("numpy",))


def ours(*wants: str) -> Contestant:
    """Let us solve these games."""
    return Contestant("**concerted**", sys.executable, "with_concerted_games.py", wants)


def theirs(peer: Peer, *wants: str) -> Contestant:
    """Let a peer solve these games."""
    return beside(peer, *wants)


def install_if_told(arguments: Sequence[str], *peers: Peer) -> int:
    """Install the peers on `--install`; returns the number of turns that the arguments name, 3 if none."""
    if "--install" in arguments:
        for peer in peers:
            print(f"{peer.name}: {peer.install() or 'installed'}", flush=True)
    return next((int(argument) for argument in arguments if argument.isdigit()), 3)
