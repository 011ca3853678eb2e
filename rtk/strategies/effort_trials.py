"""All rungs of an effort ladder at once, on one question: what calibrating looks at."""

from __future__ import annotations

from typing import Any

import dspy

from rtk.budget import Cost, Spent, current_budgets
from rtk.deliberation import Step
from rtk.strategies.effort_climbing import Climb, Rung
from rtk.strategies.flow import Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.strategy import Strategy


class Climber(Strategy):
    """Asks every rung of a program's ladder side by side, in the stream of a plain call; its answer is the route.

    So a ladder takes one round, and where a budget ends, as many questions as can be are whole. Each rung's `costs` are
    those of the samples that no rung before it had.

    Args:
        program: an `rtk.AdaptiveEffort`; the same modules are asked.
    """

    def __init__(self, program: Any) -> None:
        super().__init__()
        self.program = program

    def flow(self, **inputs: Any) -> Flow:
        """One list of asks. Nothing is answered where no sample came at all, so that it is an error."""
        efforts = self.program.efforts
        sizes = [one.votes for one in efforts if one.votes is not None]
        programs = [one for one in efforts if one.program is not None]
        chains, *answers = yield [
            self.program.asked(inputs, sizes[-1]), *(ask(one.program, inputs) for one in programs)
        ]  # fmt: skip
        if any(one.cut is not None for one in (chains, *answers)):
            return _nothing()
        costs = {str(address): cost for address, cost in current_budgets()[-1].charged.items()}
        climb, made = self.program.climb(), list[Rung]()
        for effort, had in zip(efforts, [0, *sizes], strict=False):
            if effort.votes is None:
                break
            came = chains[had : effort.votes]
            climb.chains.extend(came)
            made.append(climb.voted(effort, came, Spent(), Candidates(came).seconds, None))
        made += [climb.ran(one, got, Spent(), None) for one, got in zip(programs, answers, strict=True)]
        return _told(climb, made, costs)


def _told(climb: Climb, made: list[Rung], costs: dict[str, Cost]) -> Outcome:
    """The route, with what each rung costs."""
    route = tuple(Rung(**{**vars(one), "costs": _taken(one, costs)}) for one in made)
    came = [one for rung in route for one in rung.came]
    lost = all(one.abstention is not None and one.abstention.kind == "failed" for one in came)
    return _nothing() if lost else _nothing(climbed=True, route=route)


def _taken(rung: Rung, costs: dict[str, Cost]) -> dict[str, Cost]:
    """What a rung's samples cost, taken from what is left."""
    addresses = [address for one in rung.came for address in _addresses(one)]
    return {address: costs.pop(address) for address in addresses if address in costs}


def _addresses(one: Candidate) -> list[str]:
    return sorted(one.addresses)


def _nothing(climbed: bool | None = None, route: tuple[Rung, ...] = ()) -> Outcome:
    return Outcome(dspy.Prediction(climbed=climbed), deliberation=Step("route", "climbed"), about={"route": route})
