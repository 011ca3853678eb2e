"""What no message and no log may show: keys, values of headers, endpoints."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

_SHORTEST = 4  # characters; anything shorter is no secret, and hiding it would garble messages


def secrets_of(headers: Mapping[str, str], url: str | None, keys: Iterable[str | None] = ()) -> tuple[str, ...]:
    """The words to hide, those first that may hold others."""
    values = [str(value) for value in headers.values()]
    words = {*values, *(value.removeprefix("Bearer ") for value in values), *keys, url, urlsplit(url or "").netloc}
    return tuple(sorted((word for word in words if word and len(word) >= _SHORTEST), key=len, reverse=True))


class _Hiding(logging.Filter):
    """Takes words out of what others' loggers say. LiteLLM tells of addresses and headers where it is asked for all."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets = set[str]()

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record through, without them."""
        words = sorted(self.secrets, key=len, reverse=True)
        try:
            record.msg = hidden(record.getMessage(), words)
        except (TypeError, ValueError):  # as a handler would find out, which then prints all that it was given
            record.msg = "a message that does not fit its arguments"
        record.args = ()
        if record.exc_info:
            record.exc_text = hidden(logging.Formatter().formatException(record.exc_info), words)
            record.exc_info = None
        return True


_hiding = _Hiding()


def hide_in_logs(secrets: Iterable[str]) -> None:
    """From now on, LiteLLM and what it stands on say nothing of these words."""
    _hiding.secrets |= set(secrets)
    for name in ("LiteLLM", "openai._base_client", "httpx"):
        logging.getLogger(name).addFilter(_hiding)


def hidden(text: str, secrets: Iterable[str]) -> str:
    """A text with each of the words replaced."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return text
