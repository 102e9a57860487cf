"""The kit with which agents are written: `Agent`, its functions, its keyed inbox.

from concerted.agent import Agent, Refused, Work
"""

from concerted.agent.inbox import FileInbox, MemoryInbox
from concerted.agent.kit import Agent
from concerted.agent.serve import Service, ServiceLimits
from concerted.agent.work import Refused, Work

__all__ = ["Agent", "FileInbox", "MemoryInbox", "Refused", "Service", "ServiceLimits", "Work"]
