"""What a sample that is not there would probably cost: from what is stored of its like, else from what bounds it.

Nothing is asked and nothing is written. Samples are alike where the model is the same and their prompts differ in the
last message only: those of one predictor on other questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from statistics import fmean
from typing import NamedTuple

from rtk._json import canonical, checksum
from rtk.models.asking import Ask
from rtk.models.tokens import prompt_size
from rtk.samples import Request, Sample

LOOKED_AT = 2000
"""Requests of a store that are looked through for prompts alike; keys are hashes, so they are a fair choice."""
ENOUGH = 64
"""Samples of which a mean is taken."""


class Expected(NamedTuple):
    """What one sample would probably cost.

    Attributes:
        prompt_tokens: tokens read.
        completion_tokens: tokens written; None where nothing is stored of its like and nothing bounds it.
        dollars: None where the price is unknown.
        seconds: None where nothing is stored that took time.
    """

    prompt_tokens: int
    completion_tokens: float | None
    dollars: float | None
    seconds: float | None


class _Like(NamedTuple):
    """The means of samples alike."""

    written: float
    seconds: float | None
    dollars: float | None
    share: float  # of a prompt's tokens that a sample pays for, where several choices come of one request
    ratio: float  # of the tokens of a prompt as the server counts them to those as they are counted here


class Outlook:
    """What samples would cost, and why that is not known better.

    Attributes:
        notes: sentences for a reader, in the order of finding out.
    """

    def __init__(self) -> None:
        self.notes: dict[str, None] = {}
        self._indexed: dict[int, tuple[object, dict[str, list[Request]], dict[str, list[Request]]]] = {}
        self._likes: dict[tuple[int, str], _Like | None] = {}

    def __repr__(self) -> str:
        return f"Outlook({', '.join(self.notes)})"

    def of(self, ask: Ask, there: Iterable[Sample] = (), more: float = 0.0) -> Expected:
        """What each sample of an ask would cost that is not there.

        Args:
            ask: the ask.
            there: those of its samples that are.
            more: tokens by which its prompt is longer than it reads, what is made up in it being short.
        """
        like, told = self._like(ask), next((one.usage.prompt_tokens for one in there if one.usage.prompt_tokens), None)
        prompt = told or round(prompt_size(ask.request) * (like.ratio if like else 1.0) + more)
        written = like.written if like else self._bound(ask)
        seconds = like.seconds if like else None
        return Expected(prompt, written, self._dollars(ask, like, prompt, written), seconds)

    def _dollars(self, ask: Ask, like: _Like | None, prompt: int, written: float | None) -> float | None:
        price = ask.source.price
        if price is not None and written is not None:
            return price.of(prompt * (like.share if like else 1.0), written)
        if price is None and like is not None and like.dollars is not None:
            return like.dollars
        if price is None:
            self.notes["the price is unknown: give rtk.LM its price=(dollars per million tokens read, written)"] = None
        return None

    def _bound(self, ask: Ask) -> float | None:
        most = ask.ceiling.completion
        if most is None:
            self.notes["how much is written is unknown: nothing of its like is stored, no max_tokens= bounds it"] = None
        elif most:
            self.notes["as much is written as max_tokens= admits: nothing of its like is stored"] = None
        return most

    # --- what is stored ---

    def _like(self, ask: Ask) -> _Like | None:
        if not ask.keep or ask.replays:
            return None
        kind = _kind(ask.request)
        key = (id(ask.source), kind)
        if key not in self._likes:
            _, kinds, models = self._index(ask)
            found = _means(_read(ask, kinds.get(kind, ())))
            if found is None and (others := models.get(_model(ask.request))):
                found = _means(_read(ask, others))
                if found is not None:
                    self.notes["what is written is taken from other prompts of the model"] = None
            self._likes[key] = found
        return self._likes[key]

    def _index(self, ask: Ask) -> tuple[object, dict[str, list[Request]], dict[str, list[Request]]]:
        """The requests of a store, by kind and by model; read once."""
        if id(ask.source) not in self._indexed:
            kinds: dict[str, list[Request]] = {}
            models: dict[str, list[Request]] = {}
            for request in islice(ask.source.store.requests(), LOOKED_AT):
                kinds.setdefault(_kind(request), []).append(request)
                models.setdefault(_model(request), []).append(request)
            self._indexed[id(ask.source)] = (ask.source, kinds, models)  # the source is kept: its id must stay its own
        return self._indexed[id(ask.source)]


def _model(request: Request) -> str:
    value = request.value
    return canonical([value["model"], value.get("identity")])


def _kind(request: Request) -> str:
    """What prompts of one predictor have in common, as a hash."""
    value = request.value
    return checksum(canonical([value["model"], value.get("identity"), value["messages"][:-1]]))


def _read(ask: Ask, requests: Sequence[Request]) -> list[tuple[Request, Sample]]:
    pairs = ((request, sample) for request in requests for sample in ask.source.store.samples(request.key))
    return list(islice(pairs, ENOUGH))


def _means(found: list[tuple[Request, Sample]]) -> _Like | None:
    usages = [sample.usage for _, sample in found if sample.usage.tokens]
    if not usages:
        return None
    seconds = [usage.seconds for usage in usages if usage.seconds > 0]
    dollars = [usage.dollars for usage in usages]
    told = {request.key: (request, sample.usage.prompt_tokens) for request, sample in found}
    prompts = [(request, tokens) for request, tokens in told.values() if tokens][:8]
    counted = sum(prompt_size(request) for request, _ in prompts)
    return _Like(
        fmean(usage.completion_tokens for usage in usages),
        fmean(seconds) if seconds else None,
        None if None in dollars else fmean(one for one in dollars if one is not None),
        fmean(1 / usage.choices for usage in usages),
        sum(tokens for _, tokens in prompts) / counted if counted else 1.0,
    )
