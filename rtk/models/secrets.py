"""What no message may show: keys, values of headers, endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

_SHORTEST = 4  # characters; anything shorter is no secret, and hiding it would garble messages


def secrets_of(headers: Mapping[str, str], url: str | None, keys: Iterable[str | None] = ()) -> tuple[str, ...]:
    """The words to hide, those first that may hold others."""
    values = [str(value) for value in headers.values()]
    words = {*values, *(value.removeprefix("Bearer ") for value in values), *keys, url, urlsplit(url or "").netloc}
    return tuple(sorted((word for word in words if word and len(word) >= _SHORTEST), key=len, reverse=True))


def hidden(text: str, secrets: Iterable[str]) -> str:
    """A text with each of the words replaced."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return text
