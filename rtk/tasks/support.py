"""Customer support: what customers ask an invented supplier of home batteries, beside its questions and answers.

    I'm on Owl and have the small Cairn. If it is empty, what do I spend on stuffing the usable part full during the
    cheap window? (ignore losses)

    54p: 5.4 kWh at 10p.

`task.passages` holds the pairs of question and answer that the supplier has written down, for `rtk.Retriever`. The
customers' questions use other words: none shares a run of four words with a pair. Each is of one `kind`:

- `"straightforward"`: one pair answers it, and that pair's answer is the gold one.
- `"troubleshooting"`: takes several facts together, a calculation, or ruling out; no pair alone answers it.
- `"unanswerable"`: no pair tells, though one is near in words, and a guess may be dangerous; its gold answer is None.

When an answer is right:
    To a straightforward question where the pair's whole answer is in it. To this and to a troubleshooting question
    where it holds every key fact of the gold answer (`facts`, each with its alternatives; numbers count by value and
    unit), and nothing against them: what was written down as `wrong`, or an amount in a fact's unit that neither the
    question nor its pairs nor the `working` know. An answer of more than 80 words, or with the whole answer of a pair
    that it does not rest on, is a listing and wrong.
    To an unanswerable question, as in SQuAD 2.0 (P. Rajpurkar et al., 2018, arXiv:1806.03822), where there is no
    answer: None, blank, or a text that says that it knows none or hands over, and nothing else. That is wrong for any
    other question.

The questions are fixed. All that are about one pair are in one split, whatever their kind: dev never asks about a
pair that train or test asks about, except that a troubleshooting question may rest on further pairs as well. A seed
shuffles their order, so it says which there are where `size` leaves some out. There is one level.

To reason over what was retrieved, take the signature `"question, context -> answer"` with the task's instructions.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import dspy

from rtk.answers import text_of
from rtk.errors import TaskError
from rtk.tasks.families import Family, Inputs, Worked
from rtk.tasks.items import Item
from rtk.tasks.support_scoring import abstains, right, within

HERE = Path(__file__).parent
UNKNOWN = "I do not know."
FOLDS = ("train", "dev", "dev", "test", "test", "test")


class Support(dspy.Signature):
    """Answer the question of a customer of Tarnlight, a supplier of home batteries and solar panels, in one to three
    short sentences with the figures or steps that were asked for. Say nothing that Tarnlight has not written down or
    that does not follow from it. If that does not answer the question, answer exactly: I do not know.
    """

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


# --- questions --------------------------------------------------------------------------------------------------


def draw(level: int, seed: int, index: int) -> Item | None:
    """The question at a place in the order of a seed; None past the end."""
    order = _order(seed)
    return _item(index, _rows()[order[index]]) if index < len(order) else None


def passages() -> tuple[Mapping[str, str], ...]:
    """The pairs, each with `id`, `question` and `answer`."""
    return tuple(_pairs().values())


def sizes() -> Mapping[str, int]:
    """How many questions each split has."""
    return Counter(split_of_pair(row["about"]) for row in _rows())


def split_of_pair(about: str) -> str:
    """The split of all questions about a pair: a sixth train, a third dev, half test, by the hash of its id."""
    digest = hashlib.sha256(f"support/about/{about}".encode()).digest()
    return FOLDS[int.from_bytes(digest[:4], "big") % len(FOLDS)]


def _item(index: int, row: Mapping[str, Any]) -> Item:
    besides = {name: row[name] for name in ("kind", "sources", "facts", "wrong", "working")}
    split = split_of_pair(row["about"])
    return Item(index, {"question": row["question"]}, row["answer"], row["question"], besides, split)


@cache
def _order(seed: int) -> tuple[int, ...]:
    order = list(range(len(_rows())))
    Random(f"support/{seed}").shuffle(order)
    return tuple(order)


@cache
def _rows() -> tuple[dict[str, Any], ...]:
    return tuple(_read("support_questions.jsonl"))


@cache
def _pairs() -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in _read("support_pairs.jsonl")}


def _read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / name).read_text("utf-8").splitlines()]


# --- scoring ----------------------------------------------------------------------------------------------------


def agrees(example: Any, answer: Any) -> bool:
    """Whether an answer, which is not blank, is right; see the top of this file.

    Raises:
        TaskError: the example is not one of the task's.
    """
    kind, text = _field(example, "kind"), text_of(answer)
    if abstains(example.question, text):
        return kind == "unanswerable"
    if kind == "unanswerable":
        return False
    gold, sources = _field(example, "answer"), _field(example, "sources")
    pairs = [_said(source) for source in sources]
    if any(within(pair["answer"], text) for name, pair in _pairs().items() if name not in sources):
        return False
    if kind == "straightforward" and within(gold, text):
        return True
    known = [example.question, gold, _field(example, "working"), *pairs]
    return right(text, _field(example, "facts"), _field(example, "wrong"), known)


def silent(example: Any) -> bool:
    """Whether no answer is the right one."""
    return _field(example, "kind") == "unanswerable"


def _field(example: Any, name: str) -> Any:
    if name not in example:
        raise TaskError(f"the example has no {name!r} to score with", mend="score with the task's own examples")
    return example[name]


def _said(source: str) -> str:
    """A pair as a model is shown it."""
    pair = _pairs()[source]
    return f"{pair['question']}\n{pair['answer']}"


# --- solutions in words -----------------------------------------------------------------------------------------


def explain(inputs: Inputs) -> Worked:
    """The answer to a question, the reasoning to it as it was written down with it, and the pairs to reason from.

    Raises:
        TaskError: the question is not one of these.
    """
    row = next((row for row in _rows() if row["question"] == inputs["question"]), None)
    if row is None:
        raise TaskError(
            f"not a question of the task: {inputs['question']!r:.120}",
            mend='ask about a question as rtk.tasks.load("support") gives it, unchanged',
        )
    pairs = row["sources"] or [row["about"]]
    title = _pairs()[pairs[0]]["question"]
    reasoning = {
        "straightforward": f'What is written under "{title}" answers this.',
        "troubleshooting": row["working"],
        "unanswerable": f'What is written under "{title}" is the nearest, and it does not say this.',
    }
    return Worked(reasoning[row["kind"]], row["answer"] or UNKNOWN, tuple(map(_said, pairs)))


SUPPORT = Family(
    name="support",
    levels=(1,),
    level=1,
    signature=Support,
    draw=draw,
    comparer="text",
    explain=explain,
    agrees=agrees,
    silent=silent,
    passages=passages,
    sizes=sizes,
)
