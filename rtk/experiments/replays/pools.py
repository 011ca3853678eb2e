"""Pools: the attempts that were drawn at each question, and which settings chose from the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from rtk.answers import Abstention
from rtk.errors import RTKError
from rtk.experiments.records.records import Records

COSTS = ("tokens_in", "tokens_out", "dollars", "flops")
COLUMNS = ("pool", "replicate", "example", "answer", "abstention", "score", "correct", "logprob", "reward", *COSTS,
           "address")  # fmt: skip
NOTHING: dict[str, Any] = {}


@dataclass(frozen=True, eq=False)
class Pool:
    """The attempts at one question in one replicate, in index order.

    Attributes:
        example: the question's id.
        replicate: which run of the whole.
        columns: of `Records.candidates`, a list each; empty where nothing was drawn, as where the program raised.
    """

    example: str
    replicate: int
    columns: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many attempts there are."""
        return len(self.columns.get("address", ()))

    @cached_property
    def answers(self) -> list[Any]:
        """What each attempt answered, an abstention where it did not."""
        pairs = zip(self.columns.get("answer", ()), self.columns.get("abstention", ()), strict=True)
        return [answer if kind is None else Abstention(kind) for answer, kind in pairs]

    @cached_property
    def scores(self) -> list[float]:
        """How right each attempt is by itself; NaN where nobody looked."""
        pairs = zip(self.columns.get("score", ()), self.columns.get("abstention", ()), strict=True)
        return [0.0 if kind is not None else float(score) for score, kind in pairs]

    @cached_property
    def twins(self) -> list[int]:
        """Of each attempt the place of the first one that is the same sample, as all are at temperature 0."""
        first: dict[Any, int] = {}
        addresses = self.columns.get("address", ())
        return [first.setdefault(one or place, place) for place, one in enumerate(addresses)]

    def costs(self, name: str) -> list[float]:
        """What each attempt cost; NaN where it is not known."""
        return [float("nan") if one is None else float(one) for one in self.columns.get(name, ())]


@dataclass(frozen=True, eq=False)
class Source:
    """Settings that chose from the same attempts: one program on one model, sampled in one way.

    Attributes:
        label: what tells it from the other sources; empty where there is one.
        settings: the labels of its settings.
        pools: one for each question and replicate that was asked, in the order of the rows.
        size: attempts of the smallest pool that has any: so many are there for every question.
    """

    label: str
    settings: tuple[str, ...]
    pools: tuple[Pool, ...]
    size: int

    @property
    def drawn(self) -> list[Pool]:
        """The pools that have attempts."""
        return [one for one in self.pools if one.size]

    @property
    def largest(self) -> int:
        """Attempts of the largest pool."""
        return max(one.size for one in self.pools)

    @property
    def examples(self) -> list[str]:
        """The question of each pool."""
        return [one.example for one in self.pools]

    def has(self, column: str) -> bool:
        """Whether every attempt with an answer has a number there."""
        return all(
            kind is not None or one == one
            for pool in self.drawn
            for one, kind in zip(pool.columns[column], pool.columns["abstention"], strict=True)
        )

    def told(self, column: str) -> bool:
        """Whether some attempt has a number there."""
        return any(one is not None and one == one for pool in self.drawn for one in pool.columns[column])


def sources_of(records: Records, *further: str) -> list[Source]:
    """The sources of a sweep, in the order of its settings.

    Settings share a source where they share a pool at any question; so a question at which one of them failed tears
    nothing apart. A question without attempts, since the program raised, keeps an empty pool.

    Args:
        records: of a sweep.
        *further: columns of `Records.candidates` that are wanted besides, such as `"text"`.

    Raises:
        RTKError: where no setting chose from attempts.
    """
    rows = records.rows("setting", "replicate", "example", "pool")
    families = _families(rows)
    if not families:
        raise _nothing_kept()
    pools = _pools(records, [*COLUMNS, *further])
    labels = [_label(records, settings, families) for settings in families]
    named = [one if labels.count(one) == 1 else " / ".join(of) for one, of in zip(labels, families, strict=True)]
    found = [_source(rows, label, settings, pools) for label, settings in zip(named, families, strict=True)]
    if not any(one.size for one in found):
        raise _nothing_kept()
    return [one for one in found if one.size]  # an interrupted sweep may have kept nothing of one


def check_scored(sources: Sequence[Source], gold: Mapping[str, str | None], metric: str) -> None:
    """Refuse attempts of which nobody knows how right they are: no figure may take them for wrong.

    An attempt that the metric could not score, where it scored others, may be compared with the gold answer.

    Args:
        sources: of a sweep.
        gold: the right answer to each question, where there is one.
        metric: what the sweep reports.

    Raises:
        RTKError: where no attempt with an answer has a score, or one without has nothing to be compared with.
    """
    for source in sources:
        known = [
            (pool.example, score == score)
            for pool in source.drawn
            for kind, score in zip(pool.columns["abstention"], pool.scores, strict=True)
            if kind is None
        ]
        lacking = [example for example, scored in known if not scored]
        if lacking and (
            metric != "accuracy" or len(lacking) == len(known) or any(gold.get(one) is None for one in lacking)
        ):
            raise unscored()


def unscored() -> RTKError:
    """The error for attempts that the metric was not asked about, or could not score."""
    return RTKError(
        "the attempts have no scores of their own: the metric asks a model for each score, or scores whole answers "
        "alone",
        mend="sweep with a metric= that scores an attempt and asks no model; summary() and compare() need no such",
    )


def _nothing_kept() -> RTKError:
    return RTKError(
        "no answer of this sweep was chosen from attempts that are kept",
        mend="sweep a program that samples, such as rtk.SelfConsistency(signature, samples=16) or rtk.BestOfN",
    )


def _families(rows: Any) -> list[tuple[str, ...]]:
    """Settings that share a pool, together, in their order."""
    known = rows[rows["pool"].notna()]
    family: dict[str, str] = {one: one for one in known["setting"].unique()}

    def first(one: str) -> str:
        while family[one] != one:
            one = family[one]
        return one

    owner: dict[float, str] = {}
    for pool, setting in known[["pool", "setting"]].drop_duplicates().itertuples(index=False):
        one, other = first(owner.setdefault(pool, setting)), first(setting)
        family[max(one, other)] = min(one, other)
    together: dict[str, list[str]] = {}
    for setting in family:
        together.setdefault(first(setting), []).append(setting)
    return [tuple(settings) for settings in together.values()]


def _pools(records: Records, columns: Sequence[str]) -> dict[int, dict[str, list[Any]]]:
    """The columns of each pool, as lists."""
    frame = records.candidates(*columns)
    if frame.empty:
        return {}
    unscored = frame["score"].isna() & frame["correct"].eq(True)
    frame.loc[unscored, "score"] = 1.0
    edges = np.flatnonzero(np.diff(frame["pool"].to_numpy(), prepend=-1))
    lists = {name: frame[name].tolist() for name in columns}
    found = {}
    for start, end in zip(edges, [*edges[1:], len(frame)], strict=True):
        cut = {name: values[start:end] for name, values in lists.items()}
        found[cut["pool"][0]] = cut
    return found


def _source(rows: Any, label: str, settings: tuple[str, ...], pools: dict[int, dict[str, list[Any]]]) -> Source:
    asked = rows[rows["setting"].isin(settings)]
    places = asked[["replicate", "example"]].drop_duplicates().itertuples(index=False)
    fullest: dict[tuple[int, str], dict[str, list[Any]]] = {}
    for pool in asked["pool"].dropna().unique():
        columns = pools.get(int(pool), NOTHING)
        if columns:
            key = columns["replicate"][0], columns["example"][0]
            if len(columns["pool"]) > len(fullest.get(key, NOTHING).get("pool", ())):
                fullest[key] = columns
    made = tuple(Pool(example, replicate, fullest.get((replicate, example), {})) for replicate, example in places)
    return Source(label, settings, made, min((one.size for one in made if one.size), default=0))


def _label(records: Records, settings: tuple[str, ...], families: list[tuple[str, ...]]) -> str:
    """What all settings of a source have in common and other sources have not."""
    if len(families) == 1:
        return ""
    arms = {arm.label: arm for arm in records.settings}
    everyone = [arms[one] for family in families for one in family]
    own = [arms[one] for one in settings]
    said = [getattr(own[0], name) for name in ("program", "model") if len({getattr(one, name) for one in everyone}) > 1]
    for axis in records.axes:
        value = own[0].values.get(axis)
        common = all(one.values.get(axis) == value for one in own)
        if value is not None and common and any(one.values.get(axis) != value for one in everyone):
            said.append(f"{axis}={value}")
    return ", ".join(said)
