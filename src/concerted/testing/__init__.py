"""Public exams: what every store, link, strategy and protocol of consensus must do, for whoever writes one."""

from concerted.testing import models
from concerted.testing.history import History, Operation, Recorder
from concerted.testing.linearizability import Model, Verdict, Violation, check_linearizable
from concerted.testing.link_exam import LINK_CHECKS, check_link
from concerted.testing.replicated_log_exam import REPLICATED_LOG_CHECKS, check_replicated_log
from concerted.testing.store_exam import (
    SHARED_QUESTIONS,
    STORE_QUESTIONS,
    SharedStoreFactory,
    StoreFactory,
    check_store,
)
from concerted.testing.strategy_exam import STRATEGY_CHECKS, Setting, check_strategy

__all__ = [
    "LINK_CHECKS", "REPLICATED_LOG_CHECKS", "SHARED_QUESTIONS", "STORE_QUESTIONS", "STRATEGY_CHECKS",
    "History", "Model", "Operation", "Recorder", "Setting", "SharedStoreFactory", "StoreFactory", "Verdict",
    "Violation", "check_linearizable", "check_link", "check_replicated_log", "check_store", "check_strategy", "models",
]  # fmt: skip
