"""Effort policies: after each rung of a ladder, whether to stop or where to go next, by how sure the vote is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtk.errors import StrategyError

STOP = "stop"
_MEND = 'for example {"measure": "lead", "after": {"4": [{"below": 0.8, "then": "16"}, {"then": "stop"}]}}'


@dataclass(frozen=True)
class Branch:
    """What is done within one bin of difficulty.

    Attributes:
        below: the upper end of the bin, itself not in it; infinite for the last one.
        then: the rung to go to, or `"stop"`.
    """

    below: float
    then: str


@dataclass(frozen=True)
class Decision:
    """What a policy decides after a rung.

    Attributes:
        then: the rung to go to; None to stop.
        bin: the bin of difficulty, from 0, the hardest, on.
        low: its lower end.
        high: its upper end.
    """

    then: str | None
    bin: int
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class EffortPolicy:
    """Which rung comes next, by rung reached and bin of difficulty.

    As the setting `policy` of `rtk.AdaptiveEffort` it is plain data that a person can read and write:

        {"measure": "lead", "after": {"4": [{"below": 0.8, "then": "16"}, {"then": "stop"}]}}

    After rung `"4"` (or 4): where the lead is below 0.8, on to rung `"16"`; else stop. The last bin has no end. Rungs
    of votes are named by their numbers of chains, programs as `AdaptiveEffort.rungs` has them; a rung that is not named
    stops, and `measure`, which may be left out, is that of the program.

    Attributes:
        measure: the name of the measure that the bins are of.
        rungs: the ladder, by name.
        after: the bins of each rung, ascending.
    """

    measure: str
    rungs: tuple[str, ...]
    after: Mapping[str, tuple[Branch, ...]]

    def decide(self, rung: str, value: float | None) -> Decision:
        """What is done after a rung.

        Args:
            rung: by name.
            value: of the measure there; None, where it is not known, is in the lowest bin.
        """
        low, number = -math.inf, -1
        for number, branch in enumerate(self.after.get(rung, ())):
            if value is None or value < branch.below:
                return Decision(None if branch.then == STOP else branch.then, number, low, branch.below)
            low = branch.below
        return Decision(None, max(number, 0), low, math.inf)

    @property
    def reached(self) -> tuple[str, ...]:
        """The rungs that it can come to, in order."""
        found = {self.rungs[0]}
        for rung in self.rungs:
            if rung in found:
                found |= {one.then for one in self.after.get(rung, ()) if one.then != STOP}
        return tuple(rung for rung in self.rungs if rung in found)

    @property
    def fixed(self) -> str | None:
        """The rung at which every question ends; None where that depends on the question."""
        rung = self.rungs[0]
        while branches := self.after.get(rung):
            if len({one.then for one in branches}) > 1:
                return None
            if branches[0].then == STOP:
                break
            rung = branches[0].then
        return rung

    def __repr__(self) -> str:
        return "\n".join(f"after {rung}: {self._told(rung)}" for rung in self.reached)

    def __str__(self) -> str:
        return "; ".join(repr(self).splitlines())

    def _told(self, rung: str) -> str:
        branches = self.after.get(rung, ())
        if not branches:
            return STOP
        said = lambda one: STOP if one.then == STOP else f"on to {one.then}"  # noqa: E731
        if len(branches) == 1:
            return said(branches[0])
        told = [f"{said(one)} below {one.below:.3g}" for one in branches[:-1]]
        return f"by {self.measure}, {', '.join(told)}, else {said(branches[-1])}"

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "measure": self.measure,
            "after": {rung: [_plain(one) for one in branches] for rung, branches in self.after.items()},
        }

    @classmethod
    def of(cls, given: Any, rungs: Sequence[str], measure: str) -> EffortPolicy:
        """From plain data, or another policy.

        Args:
            given: as above.
            rungs: the ladder, by name.
            measure: that of the program, which the policy must be of.

        Raises:
            StrategyError: for what is no policy of this ladder and measure.
        """
        given = plain(given)
        if not isinstance(given, Mapping) or not isinstance(given.get("after"), Mapping) or len(given) > 2:
            raise StrategyError(f"policy={given!r:.80}", mend=_MEND)
        if given.get("measure", measure) != measure:
            raise StrategyError(
                f"policy= is of {given['measure']!r}, and measure={measure!r}",
                mend="calibrate again, or set measure= as it was",
            )
        known = tuple(rungs)
        after = {rung: _branches(rung, branches, known) for rung, branches in given["after"].items()}
        return cls(measure, known, {rung: after[rung] for rung in known if rung in after})


def plain(given: Any) -> Any:
    """A policy as plain data that JSON can hold: rungs of votes go by name, also where they were given as numbers."""
    if isinstance(given, EffortPolicy):
        return given.to_dict()
    if not isinstance(given, Mapping) or not isinstance(given.get("after"), Mapping):
        return given  # no policy, which whoever reads it refuses
    after = {_named(rung): _all_named(branches) for rung, branches in given["after"].items()}
    return {**given, "after": after}


def _all_named(branches: Any) -> Any:
    if not isinstance(branches, Sequence) or isinstance(branches, str):
        return branches
    return [{**one, "then": _named(one.get("then", ""))} if isinstance(one, Mapping) else one for one in branches]


def _named(rung: Any) -> Any:
    return str(rung) if isinstance(rung, int) and not isinstance(rung, bool) else rung


def _plain(branch: Branch) -> dict[str, Any]:
    return {"then": branch.then} if branch.below == math.inf else {"below": branch.below, "then": branch.then}


def _branches(rung: Any, given: Any, rungs: tuple[str, ...]) -> tuple[Branch, ...]:
    """The bins of one rung."""
    if rung not in rungs:
        raise StrategyError(
            f"policy= has a rung {rung!r:.40}, and the ladder is {', '.join(rungs)}",
            mend="calibrate again, or policy=None",
        )
    whole = isinstance(given, Sequence) and not isinstance(given, str) and given
    if not whole or not all(isinstance(one, Mapping) and one.keys() <= {"below", "then"} for one in given):
        raise StrategyError(f"policy=, after {rung}: {given!r:.60}", mend=_MEND)
    branches: list[Any] = [*given]
    found = tuple(Branch(_edge(rung, one), one.get("then", "")) for one in branches)
    edges = [one.below for one in found]
    if edges != sorted(set(edges)) or edges[-1] != math.inf:
        raise StrategyError(f"policy=, after {rung}: bins must ascend, the last without an end", mend=_MEND)
    later = rungs[rungs.index(rung) + 1 :]
    for one in found:
        if one.then != STOP and one.then not in later:
            raise StrategyError(
                f"policy=, after {rung}: {one.then!r:.40} is no later rung",
                mend=f"one of {', '.join((*later, STOP))}",
            )
    return found


def _edge(rung: str, given: Any) -> float:
    edge = given.get("below", math.inf)
    if isinstance(edge, bool) or not isinstance(edge, (int, float)) or math.isnan(edge):
        raise StrategyError(f"policy=, after {rung}: below {edge!r:.40}", mend="a number")
    return float(edge)
