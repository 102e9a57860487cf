"""The options of one run, put over the settings of its strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from concerted.errors import Invalid

__all__ = ["overlay"]

S = TypeVar("S", bound=msgspec.Struct)


def overlay(settings: S, options: Mapping[str, Any]) -> S:
    """Return the settings with those options that are settings put over them; the others are left alone.

    Raises:
        Invalid: an option has a value that the setting cannot have.
    """
    own = {name: options[name] for name in settings.__struct_fields__ if name in options}
    if not own:
        return settings
    try:
        return msgspec.convert({**msgspec.to_builtins(settings), **own}, type(settings))
    except msgspec.ValidationError as error:
        raise Invalid(f"the options {', '.join(own)} of the run do not fit: {error}") from error
