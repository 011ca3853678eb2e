"""What LiteLLM would make of a request's options for a hosted provider, and which of them it would lose."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rtk.errors import UnsupportedParameter
from rtk.models.litellm_library import library

_Options = dict[str, Any]


def refuse_dropped(model: str, base: str | None) -> Callable[[_Options], None]:
    """What refuses options that LiteLLM would drop on their way to a model, or send with other numbers.

    LiteLLM itself refuses most of what a provider does not take; words it translates (`reasoning_effort="low"` becomes
    a budget of tokens), and that is what it is for.
    """
    seen: set[str] = set()

    def refuse(options: _Options) -> None:
        told = json.dumps(options, sort_keys=True)
        if told in seen:
            return
        lost = _lost(model, base, options)
        if lost:
            raise UnsupportedParameter(
                f"LiteLLM would not send {', '.join(lost)} to {model!r} as asked for",
                mend="leave it out, or pass what the provider itself calls it",
            )
        seen.add(told)

    return refuse


def _lost(model: str, base: str | None, options: _Options) -> list[str]:
    litellm = library()
    try:
        name, provider, _, _ = litellm.get_llm_provider(model, api_base=base)
        if "tool_choice" in options and not options.get("tools"):
            return ["tool_choice without tools"]  # left out later on, for whatever provider
        whole = _translated(name, provider, options)
        return [option for option in options if not _arrives(option, name, provider, options, whole)]
    except (ValueError, TypeError, KeyError, AttributeError, litellm.exceptions.BadRequestError):
        return []  # it will say so itself, in its own words


def _translated(name: str, provider: str, options: _Options) -> _Options:
    """What LiteLLM makes of them for a provider."""
    return library().utils.get_optional_params(
        model=name, custom_llm_provider=provider, drop_params=False, **options
    )  # fmt: skip


def _arrives(option: str, name: str, provider: str, options: _Options, whole: _Options) -> bool:
    """Whether an option makes a difference, and its numbers are all there."""
    there = [*_leaves(whole)]
    if any(number not in there for number in _leaves(options[option]) if _is_number(number)):
        return False
    rest = {other: value for other, value in options.items() if other != option}
    return any(leaf in there for leaf in _leaves(options[option])) or _translated(name, provider, rest) != whole


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
