"""What a program answers where all that it asks for is stored: its own flow, handed the samples without a call.

An experiment with many settings reads and parses each sample once so, and needs none of the machinery that waits for a
model. The answer, its evidence and what it is charged are those of a call, as is the entry in DSPy's history of what is
read. Where a call would be heard of in other ways, or would ask for what is not there, nothing is told, and the program
is to be called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import dspy

from rtk.budget import Budget, Cost, current_budgets, settle_stored
from rtk.errors import BudgetSpent
from rtk.events import watchers
from rtk.models import LM, Ask, Gathered, whole
from rtk.samples import Address, Stream, current_stream
from rtk.strategies.flow import AskFor, Attempts, Candidate, Candidates, Flow, ask
from rtk.strategies.machine import BEST, LAZY
from rtk.strategies.nodes import Node
from rtk.strategies.prompts import Prompts
from rtk.strategies.sampling import Sampling, predictor_of
from rtk.strategies.strategy import Strategy

CALL = ("forward", "aforward", "__call__", "acall")  # what makes up a call of a module
SEVERAL = ("n", "num_generations")  # parameters that make several completions of one call


def retold(program: dspy.Module, inputs: Mapping[str, Any], recall: Recall, meter: Budget) -> Any:
    """What a program answers where all that it asks for is stored, or was drawn at another setting.

    Args:
        program: a strategy, or a `dspy.Predict` or `dspy.ChainOfThought`; of any other nothing is told.
        inputs: of the call.
        recall: what is known of the samples at this question; what is read is added to it.
        meter: a new one, charged with what the answer cost; of no use where there is none.

    Returns:
        The prediction, with its evidence where it is a strategy's, charged to the budgets that are in force. None where
        it must be called: it asks for what is not stored or in ways that only a call serves, a budget limits it, or
        somebody listens.
    """
    outer = current_budgets()
    if not _is_free(program, outer):
        return None
    tell = _strategy if isinstance(program, Strategy) else _flat
    return tell(program, dict(inputs), recall, meter, (*outer, meter))


def read_ahead(program: dspy.Module, questions: Sequence[tuple[Mapping[str, Any], Recall]]) -> None:
    """Read what is stored for a program at several questions, step by step for all of them: that takes half as long.

    It is done for a `dspy.Predict` or a `dspy.ChainOfThought`; whatever else a program asks is read when it does.

    Args:
        program: as of `retold`, which is to be asked then.
        questions: the inputs, and where to keep what is read.
    """
    if not _asks_for_one(program) or not _is_free(program, current_budgets()):
        return
    stream, wanted = current_stream(), [ask(program, inputs) for inputs, _ in questions]
    prepared = [(recall, recall.prepared(one)) for one, (_, recall) in zip(wanted, questions, strict=True)]
    asked = [(recall, one) for recall, one in prepared if one is not None]
    with dspy.context(rtk_budgets=()):
        due = [one.sampling.ask(0, 1, stream) for _, one in asked]
    if any(one.recording is not None or not one.keep for one in due):
        return
    found = due[0].source.store.read_each(one.addresses[0] for one in due) if due else {}
    for (recall, one), own in zip(asked, due, strict=True):
        if (sample := found.get(own.addresses[0])) is not None:
            recall.keep(one, own, Gathered([sample]), stream)


def _is_free(program: Any, budgets: Sequence[Budget]) -> bool:
    """Whether what is stored may be told without a call: nothing limits it, and nobody would hear of one."""
    settings = dspy.settings
    limited = any(budget.limits or budget.closed for budget in budgets)
    heard = watchers() or settings.callbacks or program.callbacks
    counted = settings.track_usage or settings.send_stream or settings.stream_listeners
    # What was put over a module's own methods, as DSPy's optimizers do, is to be called.
    return not (limited or heard or counted) and vars(program).keys().isdisjoint(CALL)


def _charged(budgets: Sequence[Budget], held: Sequence[Held]) -> bool:
    """Charge what one ask was given as reused; whether no budget was closed meanwhile."""
    return settle_stored(budgets, {one.address: one.cost for one in held})


# --- a predictor by itself --------------------------------------------------------------------------------------------


def _flat(program: Any, inputs: dict[str, Any], recall: Recall, meter: Budget, budgets: Sequence[Budget]) -> Any:
    """One completion, where DSPy reads it as it stands; with any other it deals in its own way."""
    if not _asks_for_one(program, inputs.get("config")):
        return None
    asked = recall.prepared(ask(program, inputs))
    held = None if asked is None else recall.first(1, asked, current_stream())
    candidate = None if not held else held[0].candidate.at(0)
    if held is None or candidate is None or candidate.prediction is None or _more_than_text(candidate.sample):
        return None
    return candidate.prediction if _charged(budgets, held[:1]) else None


def _asks_for_one(program: dspy.Module, config: Any = None) -> bool:
    """Whether it is a predictor by itself that asks a model of rtk's for one completion."""
    predictor = predictor_of(program)
    lm = None if predictor is None else predictor.lm or dspy.settings.lm
    if predictor is None or not isinstance(lm, LM):
        return False
    return all((one.get(name) or 1) == 1 for one in (lm.kwargs, predictor.config, config or {}) for name in SEVERAL)


def _more_than_text(sample: Any) -> bool:
    return bool(sample is None or sample.reasoning or sample.tool_calls or sample.logprobs)


# --- a strategy -------------------------------------------------------------------------------------------------------


def _strategy(program: Any, inputs: dict[str, Any], recall: Recall, meter: Budget, budgets: Sequence[Budget]) -> Any:
    """What its own flow comes to, which is handed what it asks for."""
    own, inputs = program.own_budget(inputs)
    if own or not _runs_its_flow(type(program)):
        return None
    callers = (*(dspy.settings.caller_modules or ()), program)
    node = Node(program, current_stream(), tuple(budgets), meter, (), lambda node, result: None, callers)
    with node.here():
        led = _led(node, program.begin(inputs), recall)
    if led is None or not all(_charged(budgets, held) for held in led[1]):
        return None
    return program.conclude(node, led[0])


@cache
def _runs_its_flow(kind: type[Strategy]) -> bool:
    """Whether a call of a strategy is what it is by nature: its class overrides none of it."""
    return all(getattr(kind, name) is getattr(Strategy, name) for name in CALL)


def _led(node: Node, flow: Flow, recall: Recall) -> tuple[Any, list[list[Held]]] | None:
    """What a flow comes to, and what it was handed, ask by ask; None where it wants what is not there."""
    answer, handed = None, list[list[Held]]()
    try:
        while True:
            wanted, answer = flow.send(answer), None
            if isinstance(wanted, (*BEST, *LAZY)):
                continue  # the best so far, should a budget run out, and none does
            held = _next(node, wanted, recall) if isinstance(wanted, AskFor) else None
            if held is None:
                return None
            handed.append(held)
            answer = Candidates(one.candidate.at(index) for index, one in enumerate(held))
            answer.program, answer.asked = wanted.program, wanted
            node.seconds += answer.seconds
            node.hear(answer)
    except StopIteration as end:
        return (end.value() if isinstance(end.value, LAZY) else end.value), handed
    except (Exception, BudgetSpent):  # noqa: BLE001 - the call raises it, or ends, and says what it cost until then
        return None
    finally:
        flow.close()


def _next(node: Node, wanted: AskFor, recall: Recall) -> list[Held] | None:
    """The next samples that a node asks for; None where not all of them are there, or only a call can ask for them."""
    if wanted.shared or wanted.each is not None or (asked := recall.prepared(wanted)) is None:
        return None
    stream = _stream_of(wanted, node.stream)
    first = node.take(asked.sampling.request.key, stream, wanted.samples)
    held = recall.first(first + wanted.samples, asked, stream)
    return None if held is None else held[first : first + wanted.samples]


# --- what is known of the samples at a question -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """A sample that was read and parsed.

    Attributes:
        candidate: what it says.
        address: where it is kept.
        cost: what it cost when it was drawn.
    """

    candidate: Candidate
    address: Address
    cost: Cost


@dataclass(frozen=True, slots=True)
class Asked:
    """Something that is asked, ready to be drawn from."""

    wanted: AskFor
    lm: Any
    sampling: Sampling

    def fits(self, wanted: AskFor, lm: Any) -> bool:
        """Whether something else that is asked of a model is the same."""
        mine = self.wanted
        return (
            mine.program is wanted.program and self.lm is lm and mine.config == wanted.config
            and mine.inputs == wanted.inputs
        )  # fmt: skip


class Recall:
    """The samples at one question that were read or drawn, each parsed once, for all settings that ask for them.

    Args:
        prompts: of the programs that ask; best shared by all questions.
    """

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts
        self._asked: list[Asked] = []
        self._held: dict[tuple[str, str], list[Held]] = {}

    def __repr__(self) -> str:
        return f"Recall({sum(map(len, self._held.values()))} samples)"

    def first(self, count: int, asked: Asked, stream: Stream) -> list[Held] | None:
        """The first samples of what is asked in a stream, perhaps more; None where not as many are there."""
        held = self._kept(asked, stream)
        if len(held) < count:
            with dspy.context(rtk_budgets=()):  # charged when all that is asked for is there
                due = asked.sampling.ask(len(held), count - len(held), stream)
                found = whole(due)
            if found is None:
                return None
            self.keep(asked, due, found, stream)
        return held

    def keep(self, asked: Asked, due: Ask, found: Gathered, stream: Stream) -> None:
        """Keep what was read behind what is known already."""
        came = asked.sampling.candidates(due, found)
        self._kept(asked, stream).extend(_held(one, asked.sampling) for one in came)

    def adopt(self, attempts: Attempts) -> None:
        """Take over what a call has drawn, as far as it is what would be read: in the order of its addresses."""
        wanted = attempts.asked
        if wanted is None or (asked := self.prepared(wanted)) is None:
            return
        stream = _stream_of(wanted, current_stream())
        with dspy.context(rtk_budgets=()):
            due = asked.sampling.ask(0, len(attempts.candidates), stream)
        held = self._kept(asked, stream)
        for place, (one, address) in enumerate(zip(attempts.candidates, due.addresses, strict=True)):
            if one.sample is None or one.sample.address != address:
                return
            if place == len(held):  # read anew: what a call was handed, it may have written over
                held.append(_held(asked.sampling.candidate(place, one.sample), asked.sampling))

    def prepared(self, wanted: AskFor) -> Asked | None:
        """What is asked, made ready once; None where only a call can ask it, or shows what is wrong with it."""
        lm = dspy.settings.lm
        known = next((one for one in self._asked if one.fits(wanted, lm)), None)
        predictor = predictor_of(wanted.program) if known is None else None
        if predictor is None or _has_listeners(wanted.program, predictor):
            return known
        try:
            sampling = self._prompts.sampling(wanted, predictor)
        except Exception:  # noqa: BLE001 - the call raises it, where a strategy may catch it
            return None
        found = None if sampling is None else Asked(wanted, lm, sampling)
        self._asked += [] if found is None else [found]
        return found

    def _kept(self, asked: Asked, stream: Stream) -> list[Held]:
        """What is known of what is asked, in a stream."""
        return self._held.setdefault((asked.sampling.request.key, str(stream)), [])


def _stream_of(wanted: AskFor, stream: Stream) -> Stream:
    """Where an ask draws, of who asks in a stream."""
    return stream if wanted.rollout is None else stream.enter(wanted.rollout)


def _held(candidate: Candidate, sampling: Sampling) -> Held:
    sample: Any = candidate.sample
    return Held(candidate, sample.address, Cost.of(sample.usage, sampling.lm.params))


def _has_listeners(*modules: Any) -> bool:
    """Whether a module that is asked, its model or its adapter has callbacks of its own."""
    parts = (*modules, modules[-1].lm or dspy.settings.lm, dspy.settings.adapter)
    return any(getattr(part, "callbacks", None) for part in parts)
