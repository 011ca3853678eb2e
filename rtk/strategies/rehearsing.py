"""A rehearsal: a strategy's flow run on what is stored, and on stand-ins for what is not.

The pure machine runs; budgets are twins; functions of a user's that judge candidates by a call's inputs are not called
on stand-ins, for they may be slow, cost something, or fail. Seconds are those of a simulated clock.
"""

from __future__ import annotations

import copy
import functools
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from types import SimpleNamespace
from typing import Any

import dspy

from rtk.answers import Abstention
from rtk.budget import Budget, Cost, admit, admit_call, refund_call, settle
from rtk.errors import BudgetSpent
from rtk.models import NOT_DRAWN, Ask, Expected, Gathered, Outlook, known
from rtk.samples import Address, Missing, Sample, Usage
from rtk.strategies.flow import Candidate, Candidates
from rtk.strategies.machine import Machine
from rtk.strategies.nodes import Draw, Leaf, Node, Rollout
from rtk.strategies.plain import rtk_lm
from rtk.strategies.sampling import Sampling
from rtk.strategies.settings import Settings
from rtk.strategies.stand_ins import StandIns, World, holds
from rtk.strategies.unheard import Twins, Unpaid, unheard

MOST_CALLS = 5000
"""Asks after which a rehearsal is given up: what goes on until something is good enough has no end in a bad world."""

_SCORE = SimpleNamespace(annotation=float)
_UNTOUCHED = {"settings", "callbacks", "history"}


@dataclass
class Tally:
    """What one question asked in one world.

    Attributes:
        calls: asks that a budget admitted.
        wanted: the samples, and what each costs that is not there.
        there: those that are stored, or were drawn for a question before.
        seconds: None where they are not known.
        stopped: the unit of a budget that ended something.
        open: whether more may be asked than is counted.
    """

    calls: int = 0
    wanted: dict[Address, Expected | None] = field(default_factory=dict)
    there: set[Address] = field(default_factory=set)
    seconds: float | None = 0.0
    stopped: str | None = None
    open: bool = False

    @property
    def to_draw(self) -> list[Expected]:
        """What the samples cost that are not there."""
        return [cost for cost in self.wanted.values() if cost is not None]


class Stage:
    """Where questions are rehearsed, one after the other, in one world.

    Attributes:
        stand_ins: the stand-ins made.
        twins: of the budgets.
        notes: what is not known, or assumed.
    """

    def __init__(self, world: World, outlook: Outlook) -> None:
        self.stand_ins, self.twins, self.notes = StandIns(world), Twins(), outlook.notes
        self._world, self._outlook = world, outlook
        self._made: dict[Address, dict[str, Any]] = {}
        self._paid = set[Address]()
        self._tally = Tally()
        self._busy = 0.0

    @property
    def limits(self) -> set[str]:
        """The units that a budget limits."""
        return self.twins.limits

    def run(self, strategy: Any, inputs: dict[str, Any], budgets: tuple[Budget, ...]) -> Tally:
        """Rehearse one question.

        Raises:
            Exception: as the call would, for a mistake in it that shows before anything is made up.
        """
        self._tally, self._busy = Tally(), 0.0
        with dspy.context(**unheard(), **self._lm(), rtk_gather=self.gather):
            try:
                self._drive(_Rehearsed(self, strategy, inputs, budgets))
            except Exception as error:
                if not self.stand_ins.made:
                    raise
                self.note(f"a rehearsal came to no end: {type(error).__name__}: {error}"[:160])
                self._tally.open = True
        self._paid |= self._tally.wanted.keys()
        if self._tally.seconds is not None:
            self._tally.seconds = max(self._tally.seconds, self._busy)
        return self._tally

    def note(self, text: str) -> None:
        """Note what is not known, or assumed; once."""
        self.notes[text] = None

    def _lm(self) -> dict[str, Any]:
        """The model in use: of one that is not rtk's, what looks like it and is never asked."""
        lm = dspy.settings.lm
        if not isinstance(lm, dspy.BaseLM):
            return {}
        found = rtk_lm(lm)
        if found is not lm:
            self.note(f"{type(lm).__name__} is no rtk.LM: nothing of it is stored; rtk.LM.of(lm) keeps its samples")
        return {"lm": found}

    # --- time ---

    def _drive(self, machine: Machine) -> None:
        """Feed the machine, what is back first, first; under a budget that orders, in rounds."""
        now, pending, flying, number = 0.0, machine.start(), [], count()
        while pending or flying:
            for leaf in sorted(pending, key=lambda one: one.order):
                if self._tally.calls > MOST_CALLS:
                    self.note(f"a rehearsal was given up after {MOST_CALLS:,} calls: nothing that was made up ends it")
                    self._tally.open = True
                    return
                result, seconds = self._at(leaf)
                heappush(flying, (now + seconds, next(number), leaf, result))
            back, pending = [heappop(flying)], []
            while flying and machine.ordered:
                back.append(heappop(flying))
            for now, _, leaf, result in back:  # noqa: B007 - the clock goes on
                pending += machine.feed(leaf, result)
        if self._tally.seconds is not None:
            self._tally.seconds = now

    def _at(self, leaf: Leaf) -> tuple[Any, float]:
        return self._draw(leaf) if isinstance(leaf, Draw) else self._roll_out(leaf)

    def _lasts(self, ask: Ask, drawn: list[Expected]) -> float:
        """Seconds in which samples are drawn side by side."""
        if not drawn:
            return 0.0
        each = drawn[0].seconds
        if each is None:
            self._tally.seconds = None
            return 0.0
        self._busy += each * len(drawn) / ask.source.concurrency
        return each * math.ceil(len(drawn) / ask.source.concurrency)

    # --- asks ---

    def _draw(self, leaf: Draw) -> tuple[Candidates, float]:
        """The candidates of an ask: those stored, and stand-ins for the others, as far as budgets admit them."""
        ask, there = leaf.ask, self._there(leaf.ask)
        admitted, cut, drawn = self._admitted(ask, there)
        stored = [there[one] for one in ask.addresses if one in admitted and one in there]
        read = iter(leaf.sampling.candidates(ask, Gathered(stored)))
        found = Candidates()
        for index, address in enumerate(ask.addresses):
            if address not in admitted:
                break
            one = next(read) if address in there else self._stand_in(leaf.sampling, ask, address, admitted[address])
            one.index = index
            found.append(one)
            if address in there and one.prediction is not None:
                self.stand_ins.stored(address.key, dict(one.prediction.items()))
        found.cut = cut
        return found, self._lasts(ask, drawn)

    def gather(self, ask: Ask) -> Gathered:
        """What an ask brings that a flow makes by itself; where something is not there, nothing goes on."""
        there = self._there(ask)
        admitted, cut, _ = self._admitted(ask, there)
        results = [there[one] for one in ask.addresses if one in admitted and one in there]
        if admitted.keys() <= there.keys():
            return Gathered(results, (), cut.limit if cut else None, cut.budget if cut else None)
        self.note("a flow asks a model without yielding the ask: what follows from it is not counted")
        self._tally.open = self.stand_ins.made = True
        return Gathered(results, (), NOT_DRAWN, next(iter(ask.budgets), None))

    def _there(self, ask: Ask) -> dict[Address, Sample | Missing]:
        return known(ask, list(dict.fromkeys(ask.addresses)), to_draw=False)

    def _admitted(
        self, ask: Ask, there: Mapping[Address, Any]
    ) -> tuple[dict[Address, Expected | None], BudgetSpent | None, list[Expected]]:
        """The samples that budgets admit, in order, the end of the one that admits no more, and those to be drawn."""
        own = {self.twins.of(budget): budget for budget in ask.budgets}
        budgets, expected = tuple(own), self._expected(ask, there)
        admitted: dict[Address, Expected | None] = {}
        drawn = []
        verdict = called = admit_call(budgets, timed=False)
        for address in dict.fromkeys(ask.addresses) if called == "yes" else ():
            verdict = admit(budgets, address, ask.ceiling, first=not admitted, timed=False)
            if verdict != "yes":
                break
            result, paid = there.get(address), address in self._paid or address in self._tally.wanted
            admitted[address] = None if result is not None else expected
            settle(budgets, address, self._cost(ask, result, expected), reused=result is not None)
            if result is None and not paid and expected is not None:
                drawn.append(expected)
            self._tally.wanted.setdefault(address, None if paid else admitted[address])
            if result is not None or address in self._paid:
                self._tally.there.add(address)
        self._tally.calls += bool(admitted)
        if called == "yes" and not admitted:
            refund_call(budgets)
        if verdict == "yes":
            return admitted, None, drawn
        unit, budget = verdict if isinstance(verdict, tuple) else (NOT_DRAWN, budgets[0])
        self._tally.stopped = self._tally.stopped or unit
        return admitted, BudgetSpent(unit, own.get(budget, budget)), drawn

    def _expected(self, ask: Ask, there: Mapping[Address, Any]) -> Expected | None:
        """What one of the samples costs that are not there; None where all are."""
        if all(address in there for address in ask.addresses):
            return None
        samples = [one for one in there.values() if isinstance(one, Sample)]
        return self._outlook.of(ask, samples, self.stand_ins.extra(ask.request.body))

    def _cost(self, ask: Ask, result: Any, expected: Expected | None) -> Cost | None:
        """What a budget is charged for one sample."""
        if isinstance(result, Sample):
            return Cost.of(result.usage, ask.source.parameters)
        if result is not None or expected is None or self._world.cost == "least":
            return None if result is not None else Cost()
        if self._world.cost == "most":
            prompt, written, price = ask.ceiling.prompt, ask.ceiling.completion or 0, ask.source.price
            return Cost(prompt, written, price.of(prompt, written) if price else 0.0)
        return Cost(expected.prompt_tokens, round(expected.completion_tokens or 0), expected.dollars or 0.0)

    def _stand_in(self, sampling: Any, ask: Ask, address: Address, expected: Expected | None) -> Candidate:
        """A made-up candidate; the same for the same address."""
        written = round((expected.completion_tokens if expected else None) or 0)
        signature, prompt = getattr(sampling, "signature", None), str(ask.request.messages[-1].get("content"))
        if address not in self._made:
            outputs = {"score": _SCORE} if signature is None else signature.output_fields
            self._made[address] = self.stand_ins.fields(address.key, outputs, prompt, written)
        values, lost = self._made[address], self._world.lost
        usage = Usage(expected.prompt_tokens if expected else 0, written, 0.0, (expected and expected.seconds) or 0.0)
        told = {"content": [{"token": "", "logprob": -0.1}]} if ask.request.options.get("logprobs") else None
        text = "\n".join(f"{name}: {value}" for name, value in values.items())
        sample = Sample(address, text, usage, finish_reason=lost if lost == "length" else "stop", logprobs=told)
        found = Candidate(0, sample=sample, seconds=usage.seconds, addresses=frozenset({str(address)}))
        if lost:
            found.abstention = Abstention(lost, "made up")
        elif signature is None:
            found.prediction = dspy.Prediction(**values)
        else:
            found.prediction = dspy.Prediction.from_completions([values], signature=signature)
        return found

    # --- modules that are not ours ---

    def _roll_out(self, leaf: Rollout) -> tuple[Any, float]:
        """A module that is no strategy is not run: each of its predictors is counted once."""
        name, seconds, told = type(leaf.program).__name__, 0.0, dict[str, Any]()
        self.note(f"{name} asks by itself: each of its predictors is counted once, and it may ask more")
        self._tally.open = self.stand_ins.made = True
        for _, predictor in leaf.program.named_predictors():
            with leaf.node.here():
                sampling, ask = self._asked(leaf, predictor)
            admitted, cut, drawn = self._admitted(ask, there := self._there(ask))
            seconds += self._lasts(ask, drawn)
            if cut is not None:
                return cut, seconds
            address = ask.addresses[0]
            one = self._stand_in(sampling, ask, address, admitted.get(address) if address not in there else None)
            told |= dict((one.prediction or {}).items())
        where = f"made up {leaf.stream} {id(leaf.program)}"
        if self._world.lost:
            return Candidate(leaf.index, abstention=Abstention("malformed", "made up")), seconds
        return Candidate(leaf.index, dspy.Prediction(**told), seconds=seconds, addresses=frozenset({where})), seconds

    def _asked(self, leaf: Rollout, predictor: Any) -> tuple[Sampling, Ask]:
        """A predictor of such a module, asked with its inputs, and with made-up ones where it has others."""
        inputs = {
            name: leaf.inputs[name] if name in leaf.inputs else self.stand_ins.value(name, field.annotation, "good")
            for name, field in predictor.signature.input_fields.items()
        }
        sampling = Sampling(predictor, predictor, inputs, {})
        sampling.key()
        return sampling, sampling.ask(0, 1, leaf.stream)


class _Rehearsed(Unpaid):
    """A machine whose strategies are instrumented copies."""

    def __init__(self, stage: Stage, strategy: Any, inputs: dict[str, Any], budgets: tuple[Budget, ...]) -> None:
        self._stage = stage
        super().__init__(stage.twins, strategy, inputs, budgets)

    def _begun(self, node: Node, inputs: dict[str, Any]) -> Node:
        node.strategy = _instrumented(node.strategy, self._stage)
        return super()._begun(node, inputs)

    def _read(self, leaf: Draw, result: Any) -> Candidates | BaseException:
        return result if isinstance(result, Candidates) else super()._read(leaf, result)


# --- functions of a user's ---


def _instrumented(strategy: Any, stage: Stage) -> Any:
    """A copy of a strategy that holds the same modules, and whose functions tell stand-ins from candidates."""
    try:
        twin = copy.copy(strategy)
    except Exception:  # noqa: BLE001 - whatever a stranger's object raises on copying; it is rehearsed as it is
        return strategy
    for name, value in vars(strategy).items():
        if name not in _UNTOUCHED:
            vars(twin)[name] = _told(name, value, stage)
    if isinstance(settings := vars(strategy).get("settings"), Settings):
        vars(twin)["settings"] = Settings({name: _told(name, one, stage) for name, one in settings.values.items()})
    return twin


def _told(name: str, value: Any, stage: Stage) -> Any:
    """A function as it is called in a rehearsal; anything else as it is."""
    if type(value) in (list, tuple):
        return type(value)(_told(name, one, stage) for one in value)
    if not callable(value) or isinstance(value, (type, dspy.Module)) or inspect.isgeneratorfunction(value):
        return value

    @functools.wraps(value, updated=())
    def told(*given: Any, **named: Any) -> Any:
        said = (*given, *named.values())
        if not any(map(holds, said)):
            return value(*given, **named)
        if given and isinstance(given[0], Mapping) and len(said) > 1:
            if not name.startswith("_"):
                stage.note(f"what {name} would say is not known: it is not called on what is made up")
            return stage.stand_ins.verdict(*said[1:])
        try:
            return value(*given, **named)
        except Exception as error:  # noqa: BLE001 - a user's function, on what it was not written for
            stage.note(f"{name} raised {type(error).__name__} on what is made up")
            return stage.stand_ins.verdict(*said)

    return told
