"""Where a coordinator keeps what is its own of a group of replicas."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

from concerted.agent.addresses import private_folder

__all__ = ["coordinator_key", "group_folder"]


def group_folder(folder: str, group: str) -> Path:
    """Return the folder of one group, as its hosts have it too."""
    return Path(folder) / urllib.parse.quote(group, safe=" ")


def coordinator_key(folder: str, group: str) -> Path:
    """Return where the coordinator's private key of a group is, if the group has keys; the folder is made.

    Raises:
        NotAllowed: the folder cannot be made, or it is somebody else's as well.
    """
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    return private_folder(group_folder(folder, group)) / "coordinator.key"
