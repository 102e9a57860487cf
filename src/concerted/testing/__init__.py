"""Public exams: what every store, every link and every strategy must do, for whoever writes one."""

from concerted.testing.link_exam import LINK_CHECKS, check_link
from concerted.testing.store_exam import STORE_QUESTIONS, StoreFactory, check_store
from concerted.testing.strategy_exam import STRATEGY_CHECKS, Setting, check_strategy

__all__ = [
    "LINK_CHECKS", "STORE_QUESTIONS", "STRATEGY_CHECKS", "Setting", "StoreFactory", "check_link", "check_store",
    "check_strategy",
]  # fmt: skip
