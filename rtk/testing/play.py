"""`play`: a program run on a script of replies, without a model, a server, a store or a network."""

from __future__ import annotations

import math
import operator
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import dspy
from dspy.signatures.signature import make_signature
from dspy.utils.exceptions import LMError

from rtk.budget import Budget
from rtk.errors import ModelError, StrategyError
from rtk.models import LM, Completion, Endpoint, Fault, fault_of_status
from rtk.samples import Address, Request, readable
from rtk.strategies import Prediction, Strategy
from rtk.testing.replies import Received, Reply, Unanswered, Wrapper, answering, as_reply
from rtk.testing.shape import completion_tokens, prompt_tokens

Played: TypeAlias = str | Reply | Mapping[str, Any] | Exception
"""One reply: see `play`."""

Replies: TypeAlias = str | Reply | Mapping[str, Any] | Iterable[Played] | Callable[[Received], Played] | Wrapper
"""What a program is played with: see `play`."""


@overload
def play(
    program: Strategy, replies: Replies, /, *, budget: Any = ..., adapter: Any = ..., **inputs: Any
) -> Prediction: ...


@overload
def play(program: dspy.Module, replies: Replies, /, *, budget: Any = ..., adapter: Any = ..., **inputs: Any) -> Any: ...


def play(program: dspy.Module, replies: Replies, /, *, budget: Any = None, adapter: Any = None, **inputs: Any) -> Any:
    """Run a program on a list of replies, the i-th sample it asks for being the i-th reply.

    The order is that of asking, then the index in the ask. What runs side by side goes in rounds: the first ask of
    each child in the order of their places, then the second of each. So a list means the same in every run. As with a
    store, a sample is drawn once: whoever asks for the same address again gets the same reply.

    >>> vote = rtk.SelfConsistency("question -> answer: int", samples=3)
    >>> chains = [{"reasoning": "7 * 8 = 56", "answer": 56}, "no idea", {"reasoning": "I know.", "answer": 56}]
    >>> pred = play(vote, chains, question="What is 7 * 8?")
    >>> pred.answer, pred.abstentions, pred.spent.drawn
    (56, {'malformed': 1}, 3)

    Args:
        program: a strategy, or any DSPy module; what it asks goes to the script, also where it has LMs of its own, or
            an `rtk.Endpoint`, whose replies are numbers as text.
        replies: a list of replies, which must be used up; an iterator of them, which need not be (`iter([…])`); one
            text or `Reply` that answers everything; a dict from a part of the prompt to replies of its own, as in
            `ScriptedServer`; a function of `Received`, asked for each sample; or `faults(…)` around texts.

            A reply is a text; a dict of output fields, which the adapter in use writes out; a `Reply`; or an
            exception. A `Reply` that fails (its status, a cut, an endless delay) fails that one sample as it would
            live, but is never asked again; any other delay counts as the sample's seconds and is not waited for.
            A `TimeoutError`, a `ConnectionError` and DSPy's `LMError`s fail one sample, other exceptions are raised
            where the program asks.
        budget: an `rtk.Budget` to run under; anything else is an input field. Tokens are counted in words.
        adapter: a DSPy adapter in place of the configured one; anything else is an input field.
        **inputs: the program's input fields.

    Returns:
        What the program returns: a strategy's `rtk.Prediction`.

    Raises:
        ModelError: where the program asks for more than there is, or a list is not used up.
        StrategyError: for what is no program.
    """
    if not isinstance(program, dspy.Module):
        raise StrategyError(f"play({program!r:.60}): no program", mend="wrap a signature in dspy.Predict(signature)")
    if not isinstance(budget, Budget | None):
        budget, inputs["budget"] = None, budget
    if not isinstance(adapter, dspy.Adapter | None):
        adapter, inputs["adapter"] = None, adapter
    adapter = adapter or dspy.settings.adapter or dspy.ChatAdapter()
    player = _Player(replies, adapter)
    with _answered_by(player, program), dspy.context(adapter=adapter), budget or nullcontext():
        try:
            prediction = program(**inputs)
        except Exception as error:
            player.refuse_broken(error)
            raise
    player.refuse_broken(None)
    player.refuse_unused()
    return prediction


@contextmanager
def _answered_by(player: _Player, program: dspy.Module) -> Iterator[None]:
    """Everything a program asks inside is answered by the player, in an order that no thread can change."""
    inside = [one for _, one in program.named_sub_modules()]
    own = [(one, one.lm) for one in inside if isinstance(one, dspy.Predict) and one.lm]
    scoring = [(one, one.source) for one in inside if isinstance(one, Endpoint)]
    lm = LM("scripted", cache=False, price=(0, 0)).through(player)
    try:
        for predictor, replaced in own:
            predictor.lm = LM.of(replaced, cache=False).through(player)
        for endpoint, replaced in scoring:
            endpoint.source = replaced.through(lambda: player, keep=False)
        # under a budget of samples, however large, the drivers go in rounds
        with dspy.context(lm=lm), Budget(samples=sys.maxsize):
            yield
    finally:
        for predictor, replaced in own:
            predictor.lm = replaced
        for endpoint, replaced in scoring:
            endpoint.source = replaced


@dataclass(frozen=True, slots=True)
class _Raised(Reply):
    """An exception in place of a reply."""

    error: Exception | None = None


class _Player:
    """A transport that takes completions from a script; see `rtk.models.Transport`.

    Attributes:
        broken: the first mistake in the script, which a program may have swallowed.
    """

    many: bool | None = False
    most: int = 1

    def __init__(self, replies: Any, adapter: dspy.Adapter) -> None:
        self.broken: Exception | None = None
        self._adapter = adapter
        self._lists: list[Iterator[Reply]] = []
        self._answering = answering(self._prompts(replies) if isinstance(replies, Mapping) else self._script(replies))
        self._asked: Counter[str] = Counter()
        self._given: dict[Address, Completion] = {}

    # --- the script ---

    def _prompts(self, replies: Mapping[str, Any]) -> dict[str, Any]:
        return {part: self._script(value) for part, value in replies.items()}

    def _script(self, value: Any) -> Any:
        """A script whose replies are `Reply`s."""
        if isinstance(value, (str, Reply, Mapping, Exception)):
            return self._reply(value)
        if isinstance(value, Sequence):
            self._lists.append(iter([self._reply(one) for one in value]))
            return self._lists[-1]
        if callable(value):
            return lambda received: self._reply(value(received))
        return map(self._reply, value) if isinstance(value, Iterable) else value

    def _reply(self, value: Any) -> Reply:
        if isinstance(value, Mapping):
            return Reply(_written(self._adapter, value))
        return _Raised(error=value) if isinstance(value, Exception) else as_reply(value)

    # --- what a transport does ---

    async def complete(self, request: Request, addresses: Sequence[Address]) -> list[Completion]:
        """See `rtk.models.Transport.complete`. It never waits, so asks are answered in the order they set out."""
        address = addresses[0]
        if address not in self._given:
            self._given[address] = self._completion(request, address)
        return [self._given[address]]

    async def close(self) -> None:
        """Nothing to close."""

    def _completion(self, request: Request, address: Address) -> Completion:
        received = self._received(request)
        reply = self._next(received, address)
        _refuse_failed(reply, request.model)
        logprobs = {"content": reply.logprobs} if reply.logprobs and request.options.get("logprobs") else None
        usage, read = dict(reply.usage or {}), prompt_tokens(received, [reply])
        return Completion(
            text=readable(reply.text or reply.refusal or ""),
            reasoning=reply.reasoning,
            finish_reason="refusal" if reply.refusal else reply.finish_reason,
            logprobs=logprobs,
            tool_calls=reply.tool_calls,
            prompt_tokens=usage.get("prompt_tokens", read),
            completion_tokens=usage.get("completion_tokens", completion_tokens(reply)),
            seconds=reply.delay,
        )

    def _received(self, request: Request) -> Received:
        index, occurrence = self._asked.total(), self._asked[request.key]
        self._asked[request.key] += 1
        body = {**request.options, "model": request.model, "messages": request.messages}
        return Received(index, occurrence, "", {}, body, request.messages)

    def _next(self, received: Received, address: Address) -> Reply:
        try:
            reply = self._answering(received, 1)[0]
            if isinstance(reply, Unanswered):
                raise ModelError(
                    f"play has no reply for sample {address.index} in stream {address.stream} ({reply.text}) of this "
                    f"request: {' '.join(received.last.split()):.300}",
                    mend="add it; or give one text, a dict from parts of prompts to replies, or a function",
                )
        except Exception as error:
            self.broken = self.broken or error
            raise
        return reply

    # --- the end ---

    def refuse_broken(self, error: Exception | None) -> None:
        """Raise the script's mistake, where the program did not let it pass."""
        if self.broken is not None and self.broken is not error:
            raise self.broken from error

    def refuse_unused(self) -> None:
        """Refuse what a list holds and nobody asked for."""
        left = sum(map(operator.length_hint, self._lists))
        if left:
            raise ModelError(
                f"play: {left} of the replies were not asked for", mend="leave them out, or pass iter([…])"
            )


def _written(adapter: dspy.Adapter, fields: Mapping[str, Any]) -> str:
    """Output fields as a model that keeps to an adapter's format would write them."""
    signature = make_signature({name: (type(value), dspy.OutputField()) for name, value in fields.items()})
    return adapter.format_assistant_message_content(signature, dict(fields))


def _refuse_failed(reply: Reply, model: str) -> None:
    """Raise what a failing reply stands for; no retry mends it, for the same reply would come again."""
    if isinstance(reply, _Raised) and reply.error is not None:
        raise _fault(reply.error)
    if reply.status >= 400 or reply.failure is not None:
        told = (500, reply.failure) if reply.failure is not None else (reply.status, reply.text)
        fault = fault_of_status(*told, model=model)
        raise Fault(fault.kind, str(fault), retryable=False)
    if reply.cut or reply.body is not None:
        raise Fault("connection" if reply.cut == "start" else "truncated", "the reply broke off", retryable=False)
    if reply.delay == math.inf:
        raise Fault("timeout", "the reply never comes", retryable=False)


def _fault(error: Exception) -> Exception:
    kinds = ((TimeoutError, "timeout"), (ConnectionError, "connection"), (LMError, type(error).__name__))
    kind = next((kind for cause, kind in kinds if isinstance(error, cause)), None)
    return error if kind is None else Fault(kind, str(error) or type(error).__name__, retryable=False)
