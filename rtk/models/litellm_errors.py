"""LiteLLM's errors as rtk's: told apart by what is behind them, since LiteLLM calls most of them a server's fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from json import JSONDecodeError
from socket import gaierror

from rtk.errors import EndpointError
from rtk.models.http import error_words
from rtk.models.secrets import hidden
from rtk.models.wire import Fault, Mends, dropped, fault_of_status, wait_asked

_BROKEN_OFF = {"ClientPayloadError", "ContentLengthError", "RemoteProtocolError", "IncompleteRead"}
_NO_JSON = re.compile(r"invalid response from LLM endpoint\. Received: ['\"]")  # a text, where an object should be
_NO_KEY = re.compile(r"missing (credentials|[\w ]*api key)", re.IGNORECASE)
_ON_THE_WAY = {"ReadError", "ConnectError", "WriteError", "ClientOSError", "ServerDisconnectedError"}


def fault(
    model: str, error: Exception, secrets: Iterable[str], mends: Mends, *, reached: bool, idle: float | None = None
) -> Fault | EndpointError:
    """What an error of LiteLLM's stands for.

    Args:
        model: the model string.
        error: as LiteLLM raised it.
        secrets: what its message may repeat and ours does not.
        mends: what to do where the endpoint will never answer.
        reached: whether the endpoint has answered before; one that is gone may come back.
        idle: seconds that its connection had been idle, where it was a kept one.
    """
    behind = list(_behind(error))
    names = {type(one).__name__ for one in behind}
    if "Timeout" in names:
        return Fault("timeout", "no reply within the time limit", retryable=True, lost=True)
    if "InvalidURL" in names or any(isinstance(one, (ConnectionRefusedError, gaierror)) for one in behind):
        return _unreachable(model, mends, reached)
    if names & _BROKEN_OFF or any(isinstance(one, JSONDecodeError) for one in behind):
        return Fault("truncated", "the reply broke off, or is no JSON", retryable=True, lost=True)
    if names & _ON_THE_WAY:
        return dropped(type(behind[-1]).__name__, idle)
    words = hidden(_words(error), secrets)
    if _NO_JSON.search(words):
        return Fault("truncated", f"the reply is no JSON: {words}"[:200], retryable=True, lost=True)
    if "LLM Provider NOT provided" in words:
        return no_provider(model)
    return _without_key(model, words) if _NO_KEY.search(words) else _of_status(model, error, behind, words, mends)


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


def _unreachable(model: str, mends: Mends, reached: bool) -> Fault | EndpointError:
    if reached:
        return Fault("connection", "the endpoint went away", retryable=True)
    return EndpointError(f"the endpoint of {model!r} cannot be reached from this machine", mend=mends.start)


def _of_status(
    model: str, error: Exception, behind: list[BaseException], words: str, mends: Mends
) -> Fault | EndpointError:
    status = int(getattr(error, "status_code", None) or 500)
    if status in (200, 500) and not any(type(one).__name__ == "HTTPStatusError" for one in behind):
        return Fault("malformed", words, retryable=True)
    try:
        return fault_of_status(status, words, model=model, mends=mends, retry_after=_retry_after(behind))
    except EndpointError as refused:
        return refused


def _retry_after(behind: list[BaseException]) -> float | None:
    found: list[Mapping[str, str]] = [getattr(getattr(one, "response", None), "headers", None) or {} for one in behind]
    return next((wait for headers in found if (wait := wait_asked(headers)) is not None), None)


def _words(error: Exception) -> str:
    """The provider's message, without LiteLLM's names for it and its trace."""
    words = str(error).partition("Traceback (most recent call last)")[0]
    return error_words((words.rpartition("Exception - ")[2] or words).strip())
