"""Solving a hidden sequence from its clues: by deduction in words, and by exhaustive search for proofs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from rtk.tasks.clues import ORDINALS, Clue, Puzzle

Known = Mapping[int, int]  # place, from 0, to number


@dataclass(frozen=True, slots=True)
class Step:
    """One deduction: which place, its number, and a sentence that says why."""

    place: int
    number: int
    sentence: str


def violated(puzzle: Puzzle, known: Known) -> Clue | None:
    """The first clue that is false of the known numbers, among those whose numbers are all known."""
    decidable = (clue for clue in puzzle.clues if all(place in known for place in clue.places))
    return next((clue for clue in decidable if not clue.holds(known)), None)


def candidates(puzzle: Puzzle, known: Known, place: int) -> list[int]:
    """The numbers within bounds that a place may take, by the clues that have no other unknown place."""
    alone = _alone(puzzle, known, place)
    numbers = range(puzzle.low, puzzle.high + 1)
    return [number for number in numbers if all(clue.holds({**known, place: number}) for clue in alone)]


def solutions(puzzle: Puzzle, limit: int = 2) -> list[tuple[int, ...]]:
    """Up to `limit` different sequences that satisfy every clue.

    Exhaustive: every number within the bounds is tried at every place, except those that a clue with all its other
    numbers known rules out. A list of length one with `limit` at 2 or more is therefore a proof of uniqueness.
    """
    return list(islice(_search(puzzle, {}), limit))


def _search(puzzle: Puzzle, known: Known) -> Iterator[tuple[int, ...]]:
    if len(known) == puzzle.length:
        yield tuple(known[place] for place in range(puzzle.length))
        return
    open_places = {place: candidates(puzzle, known, place) for place in _unknown(puzzle, known)}
    # The place with the fewest possibilities first: the same solutions, far fewer branches.
    place = min(open_places, key=lambda place: len(open_places[place]))
    for number in open_places[place]:
        yield from _search(puzzle, {**known, place: number})


def deduce(puzzle: Puzzle, known: Known) -> list[Step]:
    """The forced numbers, one after the other, as far as each follows from the clues and the numbers before."""
    found, steps = dict(known), []
    while step := _forced(puzzle, found):
        found[step.place] = step.number
        steps.append(step)
    return steps


def solve_in_words(puzzle: Puzzle, known: Known) -> tuple[list[str], dict[int, int]]:
    """Sentences that lead from the known numbers to all of them, and the numbers.

    Where nothing more is forced, the first open place is supposed to be each of its candidates in turn, as a person
    would, and what is wrong with each is said. Without a solution the numbers are those found before getting stuck.
    """
    steps = deduce(puzzle, known)
    found = {**known, **{step.place: step.number for step in steps}}
    said = [step.sentence for step in steps]
    if len(found) == puzzle.length:
        return said, found
    place = _unknown(puzzle, found)[0]
    for number in candidates(puzzle, found, place):
        supposed = f"Suppose the {ORDINALS[place]} number is {number}."
        then, ended = solve_in_words(puzzle, {**found, place: number})
        if len(ended) == puzzle.length and violated(puzzle, ended) is None:
            return [*said, supposed, *then], ended
        said.append(f"{supposed} {_trouble(puzzle, ended)}")
    return said, found


def _trouble(puzzle: Puzzle, found: Known) -> str:
    """What is wrong with numbers that cannot be completed."""
    broken = violated(puzzle, found)
    numbers = ", ".join(str(found[place]) if place in found else "?" for place in range(puzzle.length))
    if broken is not None:
        return f"That gives {numbers}, but: {str(broken)[0].lower()}{str(broken)[1:]}"
    stuck = next((p for p in _unknown(puzzle, found) if not candidates(puzzle, found, p)), None)
    return f"That gives {numbers}: no {ORDINALS[stuck]} number fits." if stuck is not None else "That fails."


def _forced(puzzle: Puzzle, known: Known) -> Step | None:
    """The next number that follows: the earliest place with one candidate."""
    for place in _unknown(puzzle, known):
        left = candidates(puzzle, known, place)
        if len(left) == 1:
            return Step(place, left[0], _why(puzzle, known, place, left[0]))
    return None


def _why(puzzle: Puzzle, known: Known, place: int, number: int) -> str:
    alone = _alone(puzzle, known, place)
    stated = next((clue for clue in alone if clue.kind == "value"), None)
    if stated:
        return str(stated)
    for clue in alone:
        if working := clue.working(place, known):
            return f"{working} = {number}, so the {ORDINALS[place]} number is {number}."
    marks = [str(clue).rstrip(".").split(" number is ")[-1] for clue in alone]
    return f"The {ORDINALS[place]} number is {' and '.join(marks)}, so it is {number}."


def _alone(puzzle: Puzzle, known: Known, place: int) -> list[Clue]:
    """The clues that speak of a place and of no other unknown one."""
    return [
        clue
        for clue in puzzle.clues
        if place in clue.places and all(other == place or other in known for other in clue.places)
    ]


def _unknown(puzzle: Puzzle, known: Known) -> list[int]:
    return [place for place in range(puzzle.length) if place not in known]
