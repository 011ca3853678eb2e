"""Hidden sequences at level 6: sentences that can be read in several ways, and thoughts that settle one reading each.

A question, its answer, the thoughts that lead to it, and what the checker says:

    Find the 4 hidden numbers, each from 1 to 20. The first number is 4. All the numbers add up to 39. Each sentence
    with a letter can be read in several ways. A: The second number is 2 times the first plus 3 (A1: 2 × first + 3;
    A2: 2 × (first + 3)). B: … C: … Only one choice of readings leaves exactly one possible sequence.

    4, 14, 9, 12

    A2, B1, C1

    check(inputs, "A2")             ok=True    some sequence fits all that is clear and A2
    check(inputs, "A1")             ok=False   none does
    check(inputs, "A2 B1 C1")       ok=True    exactly one sequence fits
    check(inputs, "4, 14, 9, 12")   ok=True    it is the only one that fits some choice of readings

The checker reads the question and never the answer. It looks at the readings that are settled and at what is clear,
and not ahead at what is open: readings that stand may still have no good completion.

That one choice of readings, and no other, leaves exactly one sequence is proved by exhaustive search: over all
choices, and for each over all sequences within the bounds that the question states.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from rtk.answers import Check
from rtk.errors import TaskError
from rtk.tasks.clues import ORDINALS, Clue, Puzzle
from rtk.tasks.deduction import candidates, deduce, solutions, solve_in_words, violated
from rtk.tasks.families import Family, Inputs, Worked
from rtk.tasks.hidden_sequence import HIGH, LOW, HiddenSequence, described, joined, read_numbers
from rtk.tasks.items import Item
from rtk.tasks.readings import LETTERS, Ambiguous, Reading, Sentence, proved, read_ambiguous, readings_of

LEVEL = 6
LENGTH = 4
ATTEMPTS = 2000
SINGLE, PAIRED = ("scaled", "away", "halved"), ("scaled pair", "taken", "halved pair")
LABEL = re.compile(rf"([{LETTERS}])([1-9])\b.*", re.DOTALL)
INSTRUCTIONS = (
    "Find the hidden numbers. First settle how each sentence with a letter is read: a thought is one reading, such as "
    "A2. Answer with the numbers in order, separated by commas."
)
Ways = Mapping[int, int]  # sentence to reading, both from 0


# --- questions --------------------------------------------------------------------------------------------------


def draw(level: int, seed: int, index: int) -> Item:
    """The question at an address; a function of its arguments alone."""
    rng = Random(f"hidden_sequence/{level}/{seed}/{index}")  # a string seeds the same in every process
    for _ in range(ATTEMPTS):
        written = _written(rng)
        found = [] if written is None else proved(written)
        if written is not None and len(found) == 1 and _misleads(written):
            return Item(index, {"question": str(written)}, joined(found[0][1]), written.key)
    raise TaskError(f"no unique puzzle at level {level}, seed {seed}, index {index}", mend="take another seed")


def _misleads(written: Ambiguous) -> bool:
    """Whether two sentences or more are still open where each is looked at by itself."""
    standing = [
        sum(bool(solutions(written.read({i: way}), 1)) for way in range(len(sentence.readings)))
        for i, sentence in enumerate(written.sentences)
    ]
    return sum(count > 1 for count in standing) > 1


def _written(rng: Random) -> Ambiguous | None:
    """Sentences that are true of some numbers in one reading each; whether they are enough is for others to prove."""
    order = rng.sample(range(LENGTH), LENGTH)
    numbers = {order[0]: rng.randint(LOW, HIGH)}
    sentences = []
    for i, place in enumerate(order[1:], start=1):
        meant = _meant(place, order[:i], numbers, rng)
        if meant is None:
            return None
        numbers[place] = int(meant.value(numbers))
        ways = list(readings_of(meant.kind, meant.places, meant.k, meant.j))
        rng.shuffle(ways)
        sentences.append(Sentence(tuple(ways)))
    start, gold = order[0], tuple(numbers[place] for place in range(LENGTH))
    given, around = [Clue("value", (start,), numbers[start])], described(start, numbers[start], rng)
    clues = [*rng.choice([given, around, around[:2]]), *_hints(order[1:], gold, rng)]
    rng.shuffle(clues)
    rng.shuffle(sentences)
    return Ambiguous(Puzzle(LENGTH, LOW, HIGH, tuple(clues)), tuple(sentences))


def _meant(place: int, near: Sequence[int], numbers: Mapping[int, int], rng: Random) -> Reading | None:
    """A sentence about a place in the reading that is meant; None where none of some comes within bounds."""
    kind = rng.choice(SINGLE + PAIRED * (len(near) > 1))
    for _ in range(20):
        k = rng.randint(2, 4 if kind.startswith("scaled") else 9)
        j = rng.randint(1, 6) if kind == "scaled" else 0
        wanted = 1 if kind in SINGLE else 2
        ways = readings_of(kind, (place, *rng.sample(list(near), wanted)), k, j)
        meant = rng.choice(ways)
        number = meant.value(numbers)
        if number == int(number) and LOW <= number <= HIGH:
            return meant
    return None


def _hints(places: Sequence[int], gold: Sequence[int], rng: Random) -> list[Clue]:
    """One or two clear clues about the numbers that the vague sentences lead to."""
    place = rng.choice(places)
    parity = Clue("odd" if gold[place] % 2 else "even", (place,))
    side = rng.choice(places)
    bound = Clue("under", (side,), gold[side] + rng.randint(1, 3)) if rng.random() < 0.5 else None
    total = Clue("total", tuple(range(LENGTH)), sum(gold))
    return rng.choice([[total], [total, parity], [parity, bound or total]])


# --- candidates -------------------------------------------------------------------------------------------------


def check(inputs: Inputs, candidate: Any) -> Check:
    """Whether readings, or numbers, can be right.

    Args:
        inputs: has the `question`.
        candidate: readings by their labels, in any order, apart by lines, commas or blanks: `"A2"`, `"A2, B1"`; or the
            first numbers or all of them, `"4, 14"`.

    Returns:
        ok False for readings that no sequence within bounds fits, for a choice of all readings that fits several, for
        numbers that go against every choice of readings, and for what cannot be read; None where there is nothing yet.

    Raises:
        TaskError: the question is not one of these.
    """
    question = read_ambiguous(inputs["question"])
    numbers = read_numbers(candidate)
    if numbers:
        return _of_numbers(question, numbers)
    ways = read_ways(question, candidate)
    if isinstance(ways, str):
        return Check(False, ways)
    if not ways:
        return Check(None, "No reading is settled yet.")
    fits, said = solutions(question.read(ways)), spelled(ways)
    if not fits:
        return Check(False, f"No sequence fits {said}.")
    if len(ways) < len(question.sentences):
        return Check(True, f"Some sequence fits {said} so far.")
    return Check(len(fits) == 1, f"{'Exactly one' if len(fits) == 1 else 'More than one'} sequence fits {said}.")


def read_ways(question: Ambiguous, candidate: Any) -> dict[int, int] | str:
    """The readings that a candidate settles; or, as a sentence, why they cannot be read."""
    items = candidate if isinstance(candidate, list | tuple) else [candidate]
    text = "\n".join(map(str, items)) if candidate is not None else ""
    ways: dict[int, int] = {}
    for part in re.split(rf"[\n;,]+|\s+(?=[{LETTERS}][1-9]\b)", text):
        found = LABEL.fullmatch(part.strip(" .()[]"))
        if not part.strip(" .()[]"):
            continue
        if not found:
            return f"{part.strip()!r:.60} is neither a reading such as A2 nor a whole number."
        sentence, way = LETTERS.index(found[1]), int(found[2]) - 1
        if sentence >= len(question.sentences) or way >= len(question.sentences[sentence].readings):
            return f"There is no reading {found[1]}{found[2]}."
        if sentence in ways:
            return f"Sentence {found[1]} is read a second time."
        ways[sentence] = way
    return ways


def _of_numbers(question: Ambiguous, numbers: Sequence[int]) -> Check:
    clear, said = question.clear, joined(numbers)
    if len(numbers) > clear.length:
        return Check(False, f"There are {clear.length} hidden numbers, not {len(numbers)}.")
    outside = next((number for number in numbers if not clear.low <= number <= clear.high), None)
    if outside is not None:
        return Check(False, f"{outside} is not from {clear.low} to {clear.high}.")
    known = dict(enumerate(numbers))
    if (broken := violated(clear, known)) is not None:
        return Check(False, f"{said} goes against: {broken}")
    fitting = [ways for ways in question.every_way() if violated(question.read(ways), known) is None]
    if not fitting:
        return Check(False, f"{said} goes against every choice of readings.")
    if len(numbers) < clear.length:
        return Check(True, f"{said} goes against nothing so far.")
    lone = any(len(solutions(question.read(ways))) == 1 for ways in fitting)
    return Check(lone, f"{said} {'is the only sequence that fits' if lone else 'is not the only one that fits'}.")


def spelled(ways: Ways) -> str:
    """Readings by their labels, such as `A2, B1`."""
    return ", ".join(f"{LETTERS[sentence]}{way + 1}" for sentence, way in ways.items())


def depth(inputs: Inputs) -> int:
    """How many sentences are to be read, one a thought."""
    return len(read_ambiguous(inputs["question"]).sentences)


def random_proposal(inputs: Inputs, partial: Any, rng: Random) -> str:
    """A reading of the next sentence that is open, uniform over its readings; of the first one where none is open, or
    the partial solution cannot be read.
    """
    question = read_ambiguous(inputs["question"])
    ways = read_ways(question, partial)
    sentence = _next(question, {} if isinstance(ways, str) else ways) or 0
    return spelled({sentence: rng.randrange(len(question.sentences[sentence].readings))})


def _next(question: Ambiguous, ways: Ways) -> int | None:
    return next((i for i in range(len(question.sentences)) if i not in ways), None)


# --- solutions in words -----------------------------------------------------------------------------------------


def thoughts(inputs: Inputs) -> list[str]:
    """The readings of the solution, in the order of the sentences, found by search."""
    return [spelled({sentence: way}) for sentence, way in proved(read_ambiguous(inputs["question"]))[0][0].items()]


def explain(inputs: Inputs) -> Worked:
    """How each sentence is to be read and why, then the sequence deduced, from the question alone."""
    question = read_ambiguous(inputs["question"])
    ways, said = {}, []
    for sentence, way in proved(question)[0][0].items():
        said.append(_why(question, ways, sentence, way))
        ways[sentence] = way
    deduced, found = solve_in_words(question.read(ways), {})
    return Worked(" ".join([*said, *deduced]), joined([found[place] for place in range(question.clear.length)]))


def explain_next(inputs: Inputs, partial: Any) -> Worked:
    """The next reading and why, from the question and right readings so far.

    Raises:
        TaskError: the readings are not the beginning of the solution, or are whole already.
    """
    question = read_ambiguous(inputs["question"])
    ways = read_ways(question, partial)
    right = proved(question)[0][0]
    if isinstance(ways, str) or any(right[sentence] != way for sentence, way in ways.items()):
        raise TaskError(f"{partial!r:.80} does not begin the solution", mend='pass right readings, such as "" or "A2"')
    sentence = _next(question, ways)
    if sentence is None:
        raise TaskError(f"{partial!r:.80} leaves nothing to read", mend='pass fewer readings, such as "" or "A2"')
    return Worked(_why(question, ways, sentence, right[sentence]), spelled({sentence: right[sentence]}))


def _why(question: Ambiguous, ways: Ways, sentence: int, right: int) -> str:
    """Why a sentence is read in one way: what becomes of every other one."""
    said = [
        _trouble(question, {**ways, sentence: way}, spelled({sentence: way}))
        for way in range(len(question.sentences[sentence].readings))
        if way != right
    ]
    return " ".join([*said, f"So it is {spelled({sentence: right})}."])


def _trouble(question: Ambiguous, ways: Ways, label: str) -> str:
    """What is wrong with a reading, given those before it."""
    puzzle = question.read(ways)
    if solutions(puzzle, 1):
        several = any(len(solutions(question.read(whole))) > 1 for whole in question.every_way(ways))
        return (
            f"{label} fits so far, but {'no or several sequences fit' if several else 'no sequence fits'} in the end."
        )
    steps = deduce(puzzle, {})
    found = {step.place: step.number for step in steps}
    stuck = next(
        (place for place in range(puzzle.length) if place not in found and not candidates(puzzle, found, place)), None
    )
    worked = " ".join(step.sentence for step in steps)
    ended = f"no {ORDINALS[stuck]} number fits" if stuck is not None else "no sequence fits"
    return f"With {label}: {worked} Then {ended}." if worked else f"With {label} {ended}."


AMBIGUOUS = Family(
    name="hidden_sequence",
    levels=(LEVEL,),
    level=LEVEL,
    signature=HiddenSequence.with_instructions(INSTRUCTIONS),
    draw=draw,
    comparer="sequence",
    answer_type="list",
    check=check,
    depth=depth,
    random_proposal=random_proposal,
    explain=explain,
    explain_next=explain_next,
    separator=None,
    thoughts=thoughts,
)
