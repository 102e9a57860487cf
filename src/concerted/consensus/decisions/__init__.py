"""Decisions: the machine, its rule, its ballots and its certificate; here stands what users of them import."""

from concerted.consensus.decisions.certificate import Certificate, Verification, verify
from concerted.consensus.decisions.rule import Rule, rule_of
from concerted.consensus.decisions.signatures import new_key, public_key, sign

__all__ = ["Certificate", "Rule", "Verification", "new_key", "public_key", "rule_of", "sign", "verify"]
