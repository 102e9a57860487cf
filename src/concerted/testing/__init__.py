"""Public exams: what every store and every link must do, for whoever writes one."""

from concerted.testing.link_exam import LINK_CHECKS, check_link
from concerted.testing.store_exam import STORE_QUESTIONS, StoreFactory, check_store

__all__ = ["LINK_CHECKS", "STORE_QUESTIONS", "StoreFactory", "check_link", "check_store"]
