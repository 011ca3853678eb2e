"""One question of a batch: the chains it was given so far, what further ones promise, and what it answers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dspy

from rtk.answers import Abstention, Prospect, Vote, prospect, stopping
from rtk.budget import Budget, Cost, admit_call, settle
from rtk.deliberation import Deliberation, Step
from rtk.errors import BudgetSpent, StrategyError
from rtk.events import SampleArrived
from rtk.samples import Address, current_stream
from rtk.strategies.ballots import FREE_TEXT, QUANTITIES, Ballot
from rtk.strategies.flow import AskFor, Candidate, Candidates, Outcome
from rtk.strategies.nodes import Node
from rtk.strategies.prediction import Prediction, predicted
from rtk.strategies.sampling import predictor_of
from rtk.strategies.self_consistency import SelfConsistency
from rtk.strategies.settings import Settings
from rtk.strategies.strategy import step_of

IN_VAIN = 2  # samples of a question that fail one behind the other, after which it is given no more


class Voting:
    """A vote that takes its chains one by one.

    Args:
        program: whose vote it is; it is not changed.
        most: chains that a question may have.
    """

    def __init__(self, program: SelfConsistency, most: int) -> None:
        self.program, self.most = program, most
        self.flat = predictor_of(program.chain) is not None

    def asks(self, inputs: Mapping[str, Any]) -> AskFor:
        """The ask for its chains, as the program itself makes it.

        Raises:
            StrategyError: where it asks for something else first.
        """
        flow = self._of(self.most).flow(**inputs)
        wanted = next(flow)
        flow.close()
        if not isinstance(wanted, AskFor) or wanted.program is not self.program.chain:
            raise StrategyError(f"{type(self.program).__name__}: its flow does not begin with its chains", mend=_MEND)
        return replace(wanted, heard=None)

    def count(self, chains: Candidates) -> Vote:
        """The vote so far, as far as it is counted without asking anybody."""
        own: Any = self.program.vote
        rule = "majority" if own == "weighted" else own  # what verifies is asked once, when all chains are there
        return Ballot(rule, self.program.field, self.program.comparer, self.program.exclude or ()).count(chains)

    def settles(self, found: Vote, left: int) -> bool:
        """Whether the program's own rule would stop here."""
        stop, program = self.program.stop, self.program
        if stop is None or not found.size:
            return False
        if callable(stop):
            return bool(stop(found))
        return stopping(stop, program.certainty, program.window)(found, left) == 0

    def answer(self, inputs: Mapping[str, Any], chains: Candidates, node: Node) -> Prediction:
        """What the program says of these chains."""
        twin = self._of(len(chains))
        flow = twin.flow(**inputs)
        wanted = next(flow)
        try:
            while True:
                if isinstance(wanted, AskFor) and wanted.program is not self.program.chain:
                    raise StrategyError(f"{type(twin).__name__}: its flow asks for more than its chains", mend=_MEND)
                wanted = flow.send(chains if isinstance(wanted, AskFor) else None)
        except StopIteration as end:
            return twin.conclude(node, end.value)
        finally:
            flow.close()

    def _of(self, samples: int) -> SelfConsistency:
        """The same program, that takes so many chains and stops at none before."""
        twin = copy.copy(self.program)
        vars(twin)["settings"] = Settings({**self.program.settings.values, "samples": samples, "stop": None})
        return twin


_MEND = "an rtk.SelfConsistency, or a subclass that asks for its chain alone"


def refuse(program: Any) -> None:
    """Refuse a program of which no sample can be given to one question rather than another.

    Raises:
        StrategyError: saying why, and what to take instead.
    """
    if not isinstance(program, SelfConsistency):
        name = type(program).__name__ if isinstance(program, dspy.Module) else f"{program!r:.60}"
        raise StrategyError(
            f"allocate({name}): no vote, so nothing says which question wants a further sample",
            mend="rtk.SelfConsistency(signature or module, samples=the most for one question)",
        )
    program.check_settings()
    rule = program.vote
    if rule in QUANTITIES:
        raise StrategyError(
            f'allocate() with vote="{rule}": every sample moves it, and none settles it',
            mend='vote="majority"; or give each question as many: samples=',
        )
    asks = rule in FREE_TEXT[1:] or isinstance(getattr(program, "verifier", None), dspy.Module) or program.finish_cut
    if asks:
        named = "finish_cut" if program.finish_cut else f'vote="{rule}"'
        raise StrategyError(
            f"allocate() with {named}, which asks a model for more than chains: the budget goes to chains alone",
            mend='for free text vote="medoid"; as weight= a function (inputs, prediction) -> float',
        )


class Ledger:
    """What samples cost, by their addresses as text; told of those consulted as a watcher."""

    def __init__(self) -> None:
        self._reused: dict[Address, bool] = {}
        self._costs: dict[str, tuple[Address, Cost]] = {}

    def __call__(self, event: SampleArrived) -> None:
        """A sample was consulted."""
        self._reused.setdefault(event.sample.address, event.reused)

    def read(self, budget: Budget) -> None:
        """Take over what a budget was charged."""
        if len(self._costs) < budget.spent.samples:
            self._costs = {str(address): (address, cost) for address, cost in budget.charged.items()}

    def costs(self, chains: Candidates) -> list[Cost]:
        """What the samples cost that chains rest on, each once."""
        return [cost for _, cost in self._of(chains)]

    def charge(self, budget: Budget, chains: Candidates) -> None:
        """Charge them to a budget."""
        for address, cost in self._of(chains):
            settle([budget], address, cost, reused=self._reused.get(address, False))

    def _of(self, chains: Candidates) -> list[tuple[Address, Cost]]:
        named = dict.fromkeys(text for one in chains for text in sorted(one.addresses))
        return [self._costs[text] for text in named if text in self._costs]


@dataclass(eq=False)
class Allotment:
    """A question, or several that ask the same, and the chains it has.

    Attributes:
        voting: whose chains they are.
        places: where the question stands among those given.
        asked: the ask for its chains.
        chains: those that came, in index order.
        calls: how often it was asked.
        out: whether nothing more is to be had of it: its samples fail, or are one and the same.
    """

    voting: Voting
    places: list[int]
    asked: AskFor
    chains: Candidates = field(default_factory=Candidates)
    calls: int = 0
    out: bool = False
    _promise: Prospect | None = None

    @property
    def next(self) -> AskFor:
        """The ask for its next chain: the one that the program alone would have there."""
        first = self.asked.rollout if self.voting.flat else len(self.chains)
        return replace(self.asked, samples=1, rollout=first)

    def take(self, came: Candidates) -> None:
        """Take over what was asked for."""
        self.chains.go_on(came)
        self.calls, self._promise = self.calls + bool(came), None
        vain = self.chains[-IN_VAIN:]
        failed = len(vain) == IN_VAIN and all(one.abstention and one.abstention.kind == "failed" for one in vain)
        self.out = failed or len(self.chains.distinct()) < len(self.chains)

    def failed(self, error: Exception) -> Candidates:
        """The next chain as one that never came, since a user's module raised."""
        return Candidates([Candidate(0, abstention=Abstention("failed", f"{type(error).__name__}: {error}"[:160]))])

    @property
    def left(self) -> int:
        """How many further chains it may have."""
        return 0 if self.out else self.voting.most - len(self.chains)

    @property
    def promise(self) -> Prospect:
        """What further chains promise."""
        if self._promise is None:
            found = self.voting.count(self.chains.distinct())
            settled = self.voting.settles(found, self.left) if self.left else True
            self._promise = prospect(found, 0 if settled else self.left)
        return self._promise

    def answer(self, inputs: Mapping[str, Any], ledger: Ledger, cut: BudgetSpent | None) -> Prediction:
        """What the program's own call says of as many samples.

        Args:
            inputs: of the question.
            ledger: what the samples cost.
            cut: the end of the budget, for a question that it left without a sample.
        """
        chains, meter, program = Candidates(one.at(one.index) for one in self.chains), Budget(), self.voting.program
        for _ in range(self.calls):
            admit_call([meter])
        ledger.charge(meter, chains)
        chains.program, chains.asked = program.chain, replace(self.asked, samples=max(1, len(chains)))
        node = Node(program, current_stream(), (), meter, (), lambda node, result: None, seconds=chains.seconds)
        node.hear(chains)
        if any(one.abstention is None or one.abstention.kind != "failed" for one in chains):
            return self.voting.answer(inputs, chains, node)
        return self._silent(chains, node, None if chains else cut)

    def _silent(self, chains: Candidates, node: Node, cut: BudgetSpent | None) -> Prediction:
        """No answer, since no sample came."""
        root = Step("vote", "no answer", label="vote of 0", state="dead end", children=[step_of(one) for one in chains])
        nothing = Outcome(self.voting.program._nothing(), deliberation=root, attempts=chains)
        return predicted(
            dict(nothing.prediction.items()),
            deliberation=Deliberation(root),
            spent=node.meter.spent,
            stopped=None if cut is None else cut.limit,
            seconds=node.seconds,
            abstentions={"failed": len(chains)} if chains else {},
            cut=cut,
            trace=[],
        )
