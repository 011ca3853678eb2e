"""A vote on structured answers, field by field: the winner is put together from what won in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from rtk.answers.equality import Comparer
from rtk.answers.objects import built, fields_of, without
from rtk.answers.votes import QUANTITIES, Cluster, Rule, Vote, abstains, clustered, elect, tallied
from rtk.errors import AnswerError


@dataclass(frozen=True)
class FieldsVote(Vote):
    """What a vote field by field found. As a `Vote` it is that on whole answers: they are the same where every field
    of theirs is.

    Attributes:
        fields: the vote on each field, by its name.
        reason: why the winner is not what was put together; empty where it is.
    """

    fields: dict[str, Vote] = field(default_factory=dict)
    reason: str = ""


def vote_fields(
    answers: Sequence[Any],
    *,
    comparer: Comparer | Mapping[str, Comparer] = "auto",
    rules: Mapping[str, Rule] | None = None,
    exclude: Sequence[str] = (),
) -> FieldsVote:
    """Elect each field of structured answers by itself, and put the winner together.

    The winner has the type of the answers. Where nobody gave it as a whole, its share is 0, as a mean's may be. Where
    its type refuses it (a pydantic object is validated), the largest cluster of whole answers wins, and `reason` says
    so. Fields that are not voted on are those of the answer that agrees with most of what won, the earliest of several.

    Args:
        answers: in index order: pydantic objects, mappings or texts of JSON objects. None, blank text and `Abstention`s
            do not count, nor does what has no fields (an abstention of kind `"malformed"`). A field that is not there
            counts as None, which may win.
        comparer: which values are the same; see `equal`. In a mapping each field has its own, `"auto"` where it is not
            named. None is the same as None alone.
        rules: of fields that are not voted on by majority: `"mean"`, `"median"`, `"trimmed_mean"`, `"medoid"`.
        exclude: names of fields that are not voted on, and whose values do not count within others; see `equal`.

    Raises:
        AnswerError: an unknown rule or comparer, or one for a field that no answer has.
    """
    answers, rules = list(answers), dict(rules or {})
    ballots, abstained = _read(answers)
    stripped = {index: without(one, exclude) for index, one in ballots.items()}
    names = list(dict.fromkeys(name for one in stripped.values() for name in one))
    _check(names, comparer, rules)
    own: Mapping[str, Any] = comparer if isinstance(comparer, Mapping) else dict.fromkeys(names, comparer)
    fields: dict[str, Vote] = {}
    for name in names:
        values = [stripped.get(index, {}).get(name) for index in range(len(answers))]
        fields[name] = _field(values, abstained, rules.get(name, "majority"), own.get(name, "auto"))
        fields[name] = _as_given(fields[name], ballots, name)
    return _assembled(answers, ballots, abstained, fields)


def _read(answers: list[Any]) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """The fields of the answers that count, and the kinds of abstention of the others, by index."""
    ballots: dict[int, dict[str, Any]] = {}
    abstained: dict[int, str] = {}
    for index, answer in enumerate(answers):
        kind = abstains(answer, "majority")
        found = fields_of(answer) if kind is None else None
        if found is None:
            abstained[index] = kind or "malformed"
        else:
            ballots[index] = found
    return ballots, abstained


def _check(names: list[str], comparer: Any, rules: Mapping[str, str]) -> None:
    named = [*(comparer if isinstance(comparer, Mapping) else ()), *rules]
    unknown = [name for name in named if name not in names]
    if unknown and names:
        raise AnswerError(f"no answer has a field {unknown[0]!r}", mend=f"one of {', '.join(names)}")
    known = [one for one in get_args(Rule) if one != "weighted"]
    for name, rule in rules.items():
        if rule not in known:
            raise AnswerError(f"rules= has {rule!r} for {name!r}", mend=f"one of {', '.join(known)}")


def _field(values: list[Any], abstained: Mapping[int, str], rule: str, comparer: Comparer) -> Vote:
    """The vote on one field. None and blank text are values like any."""
    out = dict(abstained)
    if rule in QUANTITIES:
        out |= {index: kind for index, one in enumerate(values) if (kind := abstains(one, rule)) and index not in out}
    same: Any = comparer
    if callable(comparer):
        same = lambda a, b: a is b if a is None or b is None else comparer(a, b)  # noqa: E731
    return elect(values, out, rule, same)


def _as_given(found: Vote, ballots: Mapping[int, dict[str, Any]], name: str) -> Vote:
    """A field's winner with the values in it that did not count."""
    if found.winner_index is None or not found.share:
        return found
    return replace(found, winner=ballots[found.winner_index].get(name))


def _assembled(
    answers: list[Any], ballots: dict[int, dict[str, Any]], abstained: dict[int, str], fields: dict[str, Vote]
) -> FieldsVote:
    clusters = _whole(answers, ballots, fields)

    def made(reason: str = "", **elected: Any) -> FieldsVote:
        whole = tallied(clusters, abstained, len(answers), **elected)
        return FieldsVote(**vars(whole), fields=fields, reason=reason)

    def given(cluster: Cluster, reason: str = "") -> FieldsVote:
        return made(reason, winner=cluster.answer, winner_index=cluster.members[0], share=cluster.share)

    if not ballots:
        return made(winner=None, winner_index=None, share=0.0)
    decided = [one for one in fields.values() if one.votes]
    nearest = max(ballots, key=lambda index: (sum(index in one.voters for one in decided), -index))
    if all(nearest in one.voters for one in decided):
        return given(next(one for one in clusters if nearest in one.members))
    try:
        winner = built(answers[nearest], _put_together(nearest, ballots, fields))
    except Exception as error:  # noqa: BLE001 - a type of the user's, whose validators may raise anything
        said = " ".join(str(error).partition(" [type=")[0].split())[:160]
        return given(clusters[0], f"put together field by field it is no {type(answers[nearest]).__name__}: {said}")
    return made(winner=winner, winner_index=nearest, share=0.0)


def _put_together(nearest: int, ballots: dict[int, dict[str, Any]], fields: dict[str, Vote]) -> dict[str, Any]:
    """An answer's fields with what won in their places; without those that most answers lack."""
    found = dict(ballots[nearest])
    for name, one in fields.items():
        if one.winner_index is None:
            continue
        if one.share and name not in ballots[one.winner_index]:
            found.pop(name, None)
        else:
            found[name] = one.winner
    return found


def _whole(answers: list[Any], ballots: Mapping[int, Any], fields: Mapping[str, Vote]) -> tuple[Cluster, ...]:
    """Clusters of answers that are the same in every field."""
    groups: dict[tuple[int | None, ...], list[int]] = {}
    places = [{i: place for place, one in enumerate(found.clusters) for i in one.members} for found in fields.values()]
    for index in ballots:
        groups.setdefault(tuple(place.get(index) for place in places), []).append(index)
    return clustered(answers, list(groups.values()), dict.fromkeys(ballots, 1.0))
