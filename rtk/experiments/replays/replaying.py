"""Replay: every policy on the attempts that a sweep has drawn, in many orders, without a single further call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rtk.answers import Abstention, Comparer, equal, text_of
from rtk.errors import RTKError
from rtk.experiments.records.records import Records
from rtk.experiments.replays.counting import Table
from rtk.experiments.replays.orders import Array, orders_of
from rtk.experiments.replays.playing import SLOW, Plays, play
from rtk.experiments.replays.policies import QUANTITIES, Policy, combined
from rtk.experiments.replays.pools import Source, check_scored, sources_of
from rtk.experiments.replays.replayed import Point, Replayed

ORDERS = 64
CELLS = 2_000_000  # of one array: attempts in orders that are looked at together
CHECKED = 5000  # attempts whose scores are compared with the metric's


def replay(
    records: Records,
    policies: Sequence[Policy] = (),
    *,
    samples: Sequence[int | None] | None = None,
    stop: Sequence[Any] | None = None,
    vote: Sequence[Any] | None = None,
    threshold: Sequence[float | None] | None = None,
    weight: Sequence[Any] | None = None,
    extract: Sequence[Any] | None = None,
    comparer: Comparer = "auto",
    orders: int = ORDERS,
    seed: int = 0,
) -> Replayed:
    """Evaluate every combination of settings on the attempts already drawn. No model is called.

    A policy's accuracy is the mean over `orders` random orders of each question's attempts, of which it reads the
    first ones: over subsets and orders, not only the one that happened. Beside it stands `as_drawn`, the order in
    which the attempts were drawn: there a policy gives what the strategy with these settings gives on the same store,
    question by question, from the same samples (`Replayed.rows`). Intervals are over questions.

    An attempt counts as the sweep's metric scored it. Answers that no attempt gave (a mean), and what another
    `extract` reads, are right where `comparer` finds them equal to the gold answer; where it finds otherwise than the
    metric did of the attempts themselves, the result says so.

    >>> results.replay(stop=[None, "beta", "window"], samples=[4, 8, 16])  # doctest: +SKIP

    Args:
        records: of a sweep of `rtk.SelfConsistency`, `rtk.BestOfN`, or any strategy that tells its attempts.
        policies: some that are evaluated besides, or alone where no axis is given.
        samples: how many attempts at most; None for all that every question has.
        stop: None, `"beta"`, `"window"`, `"horizon"`, a pair such as `("beta", {"certainty": 0.9})`, or a function of
            an `rtk.answers.Vote`.
        vote: `"majority"`, `"confidence"`, `"weighted"`, `"medoid"`, `"mean"`, `"median"`, `"trimmed_mean"`, `"best"`,
            or a function; see `Policy`.
        threshold: of the confidence, or of the reward; see `Policy`.
        weight: `"logprob"`, `"reward"`, or a function `(question, attempt) -> float`; for the votes that take one.
        extract: None for the answers as they were read, a `how` of `rtk.answers.extract`, or a function of the text.
        comparer: which answers are the same; see `rtk.answers.equal`.
        orders: random orders of each question's attempts; 16 where a setting is a function of votes.
        seed: other orders.

    Raises:
        RTKError: for settings that cannot be, or that these attempts cannot answer; for attempts without scores.
    """
    axes = {"samples": samples, "stop": stop, "vote": vote, "threshold": threshold, "weight": weight}
    axes["extract"] = extract
    if isinstance(orders, bool) or not isinstance(orders, int) or orders < 1:
        raise RTKError(f"orders={orders!r}", mend="a whole number from 1 on")
    given = not policies or any(values is not None for values in axes.values())
    asked = list(dict.fromkeys([*policies, *(combined(axes) if given else ())]))
    further = ("text", "question") if any(one.extract is not None or callable(one.weight) for one in asked) else ()
    sources = sources_of(records, *further)
    gold: dict[str, str | None] = dict(records.examples()[["example", "gold"]].itertuples(index=False))
    check_scored(sources, gold, records.task.metric)
    points, left_out = [], list[tuple[str, str]]()
    for source in sources:
        fit = [one for one in asked if not _missing(one, source, left_out)]
        points += _points(fit, source, gold, comparer, orders, seed)
    if not points:
        raise RTKError(left_out[0][1], mend=_MEND)
    notes = [*_notes(sources, gold, comparer, asked, orders), *_without(left_out)]
    return Replayed(tuple(points), tuple(sources), records.task, orders, tuple(notes), gold)


_MEND = 'sweep with a larger samples=, with rtk.BestOfN for rewards, or with vote="confidence" for log-probabilities'


def _missing(policy: Policy, source: Source, left_out: list[tuple[str, str]]) -> bool:
    """Whether a source cannot answer a policy, noted: in the words of a note, and of an error."""
    said = ""
    name = f" of {source.label}" if source.label else ""
    why = ""
    if (policy.samples or 1) > source.size:
        why = f"there are {source.size} attempts at some question{name}, not {policy.samples}"
        said = f"{source.label or 'the source'} ({source.size})"
    elif (policy.vote == "confidence" or policy.weight == "logprob") and not source.has("logprob"):
        why = f"the attempts{name} have no log-probabilities"
    elif policy.weight == "reward" and not source.told("reward"):
        why = f"the attempts{name} have no rewards"
    elif policy.extract is not None and not source.told("text"):
        why = f"the attempts{name} are no single completions, whose text could be read again"
    if why:
        left_out.append((said, why))
    return bool(why)


def _without(left_out: Sequence[tuple[str, str]]) -> Iterator[str]:
    """What was left out: a note for all sources with too few attempts together, and one for each other reason."""
    few = Counter(said for said, _ in left_out if said)
    if few:
        told = ", ".join(f"{many} of {said}" for said, many in few.items())
        yield f"policies left out, since a question has fewer attempts than they ask for: {told}"
    for why, many in Counter(why for said, why in left_out if not said).items():
        yield f"{many} policies left out: {why}"


# --- points ---


def _points(
    policies: list[Policy],
    source: Source,
    gold: Mapping[str, str | None],
    comparer: Comparer,
    orders: int,
    seed: int,
) -> Iterator[Point]:
    """Each policy on all pools of a source, some pools at a time."""
    size = source.size
    found: list[list[dict[str, Any]]] = [[] for _ in policies]
    drawn = [place for place, pool in enumerate(source.pools) if pool.size]
    step = max(1, CELLS // ((1 + orders) * max(1, size)))
    for start in range(0, len(drawn), step) if policies else ():
        places = drawn[start : start + step]
        pools = [source.pools[place] for place in places]
        made = orders_of(range(start, start + len(places)), size, orders, seed)
        table = Table(pools, size, made, comparer, gold)
        for parts, policy in zip(found, policies, strict=True):
            parts.append(_summed(policy, table, play(policy, table, policy.samples or source.size)))
    for parts, policy in zip(found, policies, strict=True):
        yield _point(policy, source, parts, drawn)


def _summed(policy: Policy, table: Table, plays: Plays) -> dict[str, Any]:
    """The means over orders of each pool, and what the first order came to."""
    known = ~np.isnan(plays.score)
    known[:, 0] = False
    many = known.sum(axis=1)
    at = np.maximum(plays.seen - 1, 0)[..., None]

    def mean(values: Array) -> Array:
        return np.where(known, values, 0.0).sum(axis=1) / many

    seen = {"consulted": table.consulted, **table.costs}
    paid = {name: np.take_along_axis(values, at, axis=2)[..., 0] for name, values in seen.items()}
    found: dict[str, Any] = {name: mean(values) for name, values in paid.items()}
    found |= {"score": mean(plays.score), "answered": mean(plays.place >= 0), "orders": many}
    found |= {f"drawn_{name}": values[:, 0] for name, values in paid.items()}
    found |= {"drawn_score": plays.score[:, 0], "drawn_confidence": plays.confidence[:, 0]}
    return found | {"drawn_seen": plays.seen[:, 0], "drawn_answer": _said(policy, table, plays)}


def _said(policy: Policy, table: Table, plays: Plays) -> Array:
    """The answers in the order in which the attempts were drawn, as text; None where it abstains."""
    found = np.full(len(table.pools), None, dtype=object)
    for pool, place in enumerate(plays.place[:, 0]):
        if place >= 0:
            own = table.answers(policy.extract)[pool][place]
            answer = plays.made.get((pool, 0), own)
            found[pool] = None if answer is None else text_of(answer)
    return found


def _point(policy: Policy, source: Source, parts: list[dict[str, Any]], drawn: list[int]) -> Point:
    """The parts together; a question without attempts is one that was answered wrong, for nothing."""
    columns = {}
    for name in parts[0]:
        values = np.concatenate([one[name] for one in parts])
        whole = np.full(len(source.pools), np.nan if name == "drawn_confidence" else 0.0).astype(values.dtype)
        if values.dtype == object:
            whole[:] = None
        whole[drawn] = values
        columns[name] = whole
    return Point(policy, source, policy.samples or source.size, columns)


# --- notes ---


def _notes(
    sources: Sequence[Source],
    gold: Mapping[str, str | None],
    comparer: Comparer,
    policies: Sequence[Policy],
    orders: int,
) -> Iterator[str]:
    """What a reader must know of the attempts."""
    for source in sources:
        name = f" of {source.label}" if source.label else ""
        if empty := len(source.pools) - len(source.drawn):
            yield f"{empty} of {len(source.pools)} questions{name} have no attempts, since the program raised: wrong"
        if source.largest > source.size:
            many = f"{source.size} to {source.largest}"
            yield f"the questions{name} have {many} attempts: the first {source.size} of each are used"
    if any(one.exactly for one in policies) and orders > SLOW:
        yield f"functions of votes were played in {SLOW} random orders"
    looked, other = _compared(sources, gold, comparer)
    if other:
        told = comparer if isinstance(comparer, str) else getattr(comparer, "__name__", "the function")
        needed = any(one.extract is not None or one.vote in QUANTITIES or callable(one.vote) for one in policies)
        more = "answers that no attempt gave are scored by it, and " if needed else ""
        yield (f"comparer={told!r} finds {other} of {looked} attempts otherwise than the metric did: {more}votes may "
               "differ from those of the sweep; pass the task's comparer=")  # fmt: skip


def _compared(sources: Sequence[Source], gold: Mapping[str, str | None], comparer: Comparer) -> tuple[int, int]:
    """How many attempts were compared with the gold answer, and how many of them the metric judged otherwise."""
    looked = other = 0
    known: dict[Any, bool] = {}
    for pool in (pool for source in sources for pool in source.drawn):
        right = gold.get(pool.example)
        for answer, score in zip(pool.answers, pool.scores, strict=True):
            if right is None or answer is None or isinstance(answer, Abstention) or score not in (0.0, 1.0):
                continue
            if looked == CHECKED:
                return looked, other
            key = answer, right
            if key not in known:
                known[key] = equal(answer, right, comparer)
            looked, other = looked + 1, other + (known[key] != (score == 1.0))
    return looked, other
