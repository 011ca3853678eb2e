"""Answers that are the same, together: transitively, the earliest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from rtk.answers.equality import Comparer, canonical, equal, text_of
from rtk.answers.objects import without
from rtk.answers.similarity import alike

Groups = list[list[int]]
SHORT = 200  # characters of a text whose key is remembered: votes, and those of one study, hold few different ones


@lru_cache(maxsize=4096)
def _key_of(text: str, comparer: Any) -> Any:
    return canonical(text, comparer)


def grouped(answers: Sequence[Any], counted: list[int], comparer: Comparer, exclude: Sequence[str] = ()) -> Groups:
    """Indices of equal answers together: by key, and where there is none, by pairs of different texts.

    Args:
        answers: all of them.
        counted: the indices of those that count, ascending.
        comparer: see `equal`.
        exclude: see `equal`.
    """
    groups: dict[Any, list[int]] = {}
    plain = not callable(comparer) and not exclude
    for index in counted:
        answer = answers[index]
        short = plain and type(answer) is str and len(answer) <= SHORT
        key = _key_of(answer, comparer) if short else canonical(answer, comparer, exclude)
        groups.setdefault((type(answer), text_of(answer)) if key is None else key, []).append(index)
    found = list(groups.values())
    if comparer == "similar":
        return _joined(found, _similar(answers, found, exclude))
    if comparer == "math" or callable(comparer):
        return _joined(found, lambda a, b: _same(answers[found[a][0]], answers[found[b][0]], comparer, exclude))
    return found


def _same(a: Any, b: Any, comparer: Comparer, exclude: Sequence[str]) -> bool:
    return equal(a, b, comparer, exclude) or (callable(comparer) and equal(b, a, comparer))


def _similar(answers: Sequence[Any], groups: Groups, exclude: Sequence[str]) -> Callable[[int, int], bool]:
    """Whether two groups are similar, with each one's answer read once."""
    first = [without(answers[group[0]], exclude) for group in groups]
    keys, texts = [canonical(one) for one in first], [text_of(one) for one in first]
    return lambda a, b: keys[a] == keys[b] or alike(texts[a], texts[b])


def _joined(groups: Groups, same: Callable[[int, int], bool]) -> Groups:
    """Groups united wherever one of a pair is equal to the other."""
    joined: Groups = []  # a cluster is the groups it has united
    for group in range(len(groups)):
        united = [cluster for cluster in joined if any(same(one, group) for one in cluster)]
        joined = [cluster for cluster in joined if cluster not in united]
        joined.append([*(one for cluster in united for one in cluster), group])
    return [sorted(index for group in cluster for index in groups[group]) for cluster in joined]
