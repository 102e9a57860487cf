"""The composition root: where a store, links, strategies and a coordinator are put together.

from concerted.launch import open_coordinator
"""

from concerted.launch.group import GroupSession, open_group
from concerted.launch.session import Session, open_coordinator

__all__ = ["GroupSession", "Session", "open_coordinator", "open_group"]
