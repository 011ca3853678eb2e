"""Fields of an LM, of a copy and of a call: which of them rtk acts on itself, and which it refuses to lose."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from rtk.errors import ModelError, UnsupportedParameter
from rtk.samples import of_connection, outside_a_request

OWN = frozenset({"n", "num_generations", "rollout_id", "cache"})
"""Fields of a call that say which samples are wanted; the others are the request's."""

_UNHEARD = {"engine": "auto", "async_engine": None, "use_developer_role": False, "prompt_cache": None}
_FIXED = frozenset(
    {"model", "model_type", "store", "concurrency", "server_n", "transport", "gguf", "slots", "context", "revision",
     "price", "price_per_hour", "params", "num_retries", "retries", "deadline", *_UNHEARD}
)  # fmt: skip
_NOT_EXTRA = frozenset({"model", "messages", "n", "seed", "stream", "temperature"})


def heard(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """An LM's settings without those of `dspy.LM` that mean nothing here.

    Raises:
        UnsupportedParameter: where one of them is set.
    """
    wrong = [name for name, usual in _UNHEARD.items() if kwargs.get(name, usual) not in (usual, None)]
    if wrong:
        raise UnsupportedParameter(
            f"{', '.join(wrong)} would have no effect", mend="leave it out, or wrap a dspy.LM: rtk.LM.of(dspy.LM(...))"
        )
    return {name: value for name, value in kwargs.items() if name not in _UNHEARD}


def refuse_dropped(fields: Mapping[str, Any]) -> None:
    """Nothing is dropped silently: a call takes what reaches the model, and no settings of the connection.

    Raises:
        UnsupportedParameter: naming what would be lost.
    """
    extra = fields.get("extra_body") or {}
    if not isinstance(extra, Mapping):
        raise UnsupportedParameter(f"extra_body={extra!r:.60} is no dict", mend="extra_body={'name': value}")
    wrong = {name for name in fields if _is_lost(name) and fields[name] is not None}
    wrong |= {name for name in extra if of_connection(name) or name in _NOT_EXTRA}
    if not wrong:
        return
    names = ", ".join(sorted(wrong))
    if any(of_connection(name) or name in _FIXED for name in wrong):
        raise UnsupportedParameter(
            f"{names} cannot be set for a call or a copy", mend="pass what is the model's own to rtk.LM(...)"
        )
    raise UnsupportedParameter(
        f"{names} would not reach the model as asked for",
        mend="leave it out; temperature=, seed= and n= are arguments of their own, not part of extra_body",
    )


@cache
def _is_lost(name: str) -> bool:
    return name not in OWN and (outside_a_request(name) or name in _FIXED)


def refuse_fixed(fields: Mapping[str, Any]) -> None:
    """A copy shares its model, connection and store.

    Raises:
        UnsupportedParameter: naming what would make another model, connection or store of it.
    """
    fixed = sorted(name for name in fields if name in _FIXED or of_connection(name))
    if fixed:
        raise UnsupportedParameter(f"{', '.join(fixed)} cannot differ on a copy", mend="make another rtk.LM(...)")


def rollout_id(given: Any) -> int | None:
    """DSPy's `rollout_id`, as it was given.

    Raises:
        ModelError: for what is no whole number from 0 on.
    """
    if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 0):
        raise ModelError(f"rollout_id={given!r} names no stream", mend="pass a whole number from 0 on")
    return given
