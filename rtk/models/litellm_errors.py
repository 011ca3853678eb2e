"""LiteLLM's errors as rtk's: told apart by what is behind them, since LiteLLM calls most of them a server's fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from json import JSONDecodeError
from socket import gaierror

from rtk.errors import EndpointError
from rtk.models.secrets import hidden
from rtk.models.wire import Fault, fault_of_status

_BROKEN_OFF = {"ClientPayloadError", "ContentLengthError", "RemoteProtocolError", "IncompleteRead"}
_NO_KEY = re.compile(r"missing (credentials|[\w ]*api key)", re.IGNORECASE)
_ON_THE_WAY = {"ReadError", "ConnectError", "WriteError", "ClientOSError", "ServerDisconnectedError"}


def fault(model: str, error: Exception, secrets: Iterable[str], *, reached: bool) -> Fault | EndpointError:
    """What an error of LiteLLM's stands for.

    Args:
        model: the model string.
        error: as LiteLLM raised it.
        secrets: what its message may repeat and ours does not.
        reached: whether the endpoint has answered before; one that is gone may come back.
    """
    behind = list(_behind(error))
    names = {type(one).__name__ for one in behind}
    if "Timeout" in names:
        return Fault("timeout", "no reply within the time limit", retryable=True)
    if "InvalidURL" in names or any(isinstance(one, (ConnectionRefusedError, gaierror)) for one in behind):
        return _unreachable(model, reached)
    if names & _BROKEN_OFF or any(isinstance(one, JSONDecodeError) for one in behind):
        return Fault("truncated", "the reply broke off, or is no JSON", retryable=True)
    if names & _ON_THE_WAY:
        return Fault("connection", type(behind[-1]).__name__, retryable=True)
    words = hidden(_words(error), secrets)
    if "LLM Provider NOT provided" in words:
        return no_provider(model)
    return _without_key(model, words) if _NO_KEY.search(words) else _of_status(model, error, behind, words)


def no_provider(model: str) -> EndpointError:
    """The error of a model string that leads nowhere."""
    return EndpointError(
        f"{model!r} names no provider that LiteLLM knows",
        mend="write provider/model, for example ollama_chat/NAME, or openai/NAME with api_base= for an "
        "OpenAI-compatible server; the model that comes with rtk is 'embedded'",
    )


def _without_key(model: str, words: str) -> EndpointError:
    return EndpointError(
        f"there is no key for {model!r}: {' '.join(words.split()):.300}",
        mend="set the environment variable it names, or pass api_key= to rtk.LM",
    )


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _unreachable(model: str, reached: bool) -> Fault | EndpointError:
    if reached:
        return Fault("connection", "the endpoint went away", retryable=True)
    return EndpointError(
        f"the provider of {model!r} cannot be reached from this machine",
        mend="check the network and api_base=, or use a local model: rtk.LM('embedded'), or ollama_chat/… "
        "with `ollama serve`",
    )


def _of_status(model: str, error: Exception, behind: list[BaseException], words: str) -> Fault | EndpointError:
    status = int(getattr(error, "status_code", None) or 500)
    if status in (200, 500) and not any(type(one).__name__ == "HTTPStatusError" for one in behind):
        return Fault("malformed", words, retryable=True)
    try:
        return fault_of_status(status, words, model=model, retry_after=_retry_after(behind))
    except EndpointError as refused:
        return refused


def _retry_after(behind: list[BaseException]) -> str | None:
    headers = (getattr(getattr(one, "response", None), "headers", None) or {} for one in behind)
    return next((found["retry-after"] for found in headers if "retry-after" in found), None)


def _words(error: Exception) -> str:
    """The provider's message, without LiteLLM's names for it and its trace."""
    words = str(error).partition("Traceback (most recent call last)")[0]
    return (words.rpartition("Exception - ")[2] or words).strip()
