"""The attempts of some pools laid out for policies: their answers, clusters, weights and costs, each found once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from rtk.answers import Abstention, Comparer, canonical, equal, extract, similarity, text_of, vote
from rtk.errors import RTKError
from rtk.experiments.replays.middles import scaled
from rtk.experiments.replays.orders import Array, Beginnings, beginnings
from rtk.experiments.replays.policies import QUANTITIES, called
from rtk.experiments.replays.pools import COSTS, Pool

UNREAD = ("refused", "length", "empty", "failed")  # abstentions that another reading of the text does not change
HIDDEN = ("gold", "correct", "score", "abstention", "pool", "example")


class Table:
    """Some pools in some orders.

    Args:
        pools: with at least `size` attempts each.
        size: attempts of each that are looked at, the first ones.
        orders: places in the pool, pools × orders × size; see `orders_of`.
        comparer: which answers are the same.
        gold: the right answer to each pool's question, where it is known.
    """

    def __init__(
        self, pools: Sequence[Pool], size: int, orders: Array, comparer: Comparer, gold: Mapping[str, str | None]
    ) -> None:
        self.pools, self.size, self.orders = list(pools), size, orders
        self.comparer: Comparer = comparer
        self._gold = gold
        self._known: dict[Any, Any] = {}
        self._right: dict[Any, float] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What was made of a key before, or is made now."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def ordered(self, values: Array) -> Array:
        """Something of each attempt, in all orders."""
        return np.take_along_axis(values[:, None, :], self.orders, axis=2)

    # --- samples ---

    @cached_property
    def twins(self) -> Array:
        """Of each attempt the first one of its pool that is the same sample."""
        return np.array([pool.twins[: self.size] for pool in self.pools])

    @cached_property
    def fresh(self) -> Array:
        """Whether an attempt is another sample than all before it, in all orders."""
        if (self.twins == np.arange(self.size)).all():
            return np.ones(self.orders.shape, dtype=bool)
        ordered = self.ordered(self.twins)
        seen = np.zeros((*ordered.shape[:2], self.size), dtype=bool)
        found = np.empty(ordered.shape, dtype=bool)
        for k in range(self.size):
            at = ordered[:, :, k, None]
            found[:, :, k] = ~np.take_along_axis(seen, at, axis=2)[..., 0]
            np.put_along_axis(seen, at, True, axis=2)
        return found

    @cached_property
    def whole(self) -> Array:
        """Whether the first k attempts of an order are different samples, at `[..., k - 1]`."""
        return np.logical_and.accumulate(self.fresh, axis=2)

    @cached_property
    def consulted(self) -> Array:
        """How many samples the first k attempts of an order are."""
        return np.cumsum(self.fresh, axis=2)

    @cached_property
    def costs(self) -> dict[str, Array]:
        """What the first k attempts of an order cost; only what is known of every attempt."""
        found = {}
        for name in COSTS:
            values = np.array([pool.costs(name)[: self.size] for pool in self.pools], dtype=np.float64)
            found[name] = np.cumsum(self.ordered(values) * self.fresh, axis=2)
        return found

    # --- answers ---

    def answers(self, how: Any) -> list[list[Any]]:
        """What each attempt answered, as it was read or read anew."""
        return self.once(("answers", how), lambda: [self._read(pool, how) for pool in self.pools])

    def _read(self, pool: Pool, how: Any) -> list[Any]:
        own = pool.answers[: self.size]
        if how is None:
            return own
        texts = pool.columns["text"][: self.size]
        return [one if _stays(one, text) else _extracted(text, how) for one, text in zip(own, texts, strict=True)]

    def scores(self, how: Any) -> Array:
        """How right each attempt is: as the sweep's metric said, or, of an answer read anew, by the comparer."""
        return self.once(("scores", how), lambda: self._scored(how))

    def _scored(self, how: Any) -> Array:
        found = np.zeros((len(self.pools), self.size))
        for place, (pool, answers) in enumerate(zip(self.pools, self.answers(how), strict=True)):
            for at, (answer, own, score) in enumerate(zip(answers, pool.answers, pool.scores, strict=False)):
                same = how is None or (not isinstance(own, Abstention) and text_of(own) == text_of(answer))
                found[place, at] = score if same and score == score else self.right(place, answer)
        return found

    def gold(self, pool: int) -> str | None:
        """The right answer to a pool's question."""
        return self._gold.get(self.pools[pool].example)

    def right(self, pool: int, answer: Any) -> float:
        """Whether an answer equals the gold one, 1 or 0; 0 where there is none."""
        gold = self.gold(pool)
        if gold is None or answer is None or isinstance(answer, Abstention):
            return 0.0
        key = type(answer), text_of(answer), gold
        if key not in self._right:
            self._right[key] = float(equal(answer, gold, self.comparer))
        return self._right[key]

    # --- clusters ---

    def labels(self, how: Any, comparer: Comparer, numbers: bool = False) -> tuple[Array, Array]:
        """The cluster of each answer, -1 where it abstains; and of each pool whether its clusters hang together by
        pairs alone, so that fewer of its answers may fall apart.

        Args:
            how: how answers are read.
            comparer: which are the same.
            numbers: whether what holds no number abstains.
        """
        return self.once(("labels", how, comparer, numbers), lambda: self._labelled(how, comparer, numbers))

    def _labelled(self, how: Any, comparer: Comparer, numbers: bool) -> tuple[Array, Array]:
        found = np.full((len(self.pools), self.size), -1, dtype=np.int32)
        chained = np.zeros(len(self.pools), dtype=bool)
        by_pairs = canonical("", comparer) is None
        for place, answers in enumerate(self.answers(how)):
            clusters = vote(answers, rule="median" if numbers else "majority", comparer=comparer).clusters
            for label, cluster in enumerate(clusters):
                found[place, list(cluster.members)] = label
                if by_pairs and not _all_pairs([answers[one] for one in cluster.members], comparer):
                    chained[place] = True
        return found, chained

    def votes(self, how: Any, comparer: Comparer, distinct: bool = False) -> Beginnings:
        """The votes on all beginnings.

        Args:
            how: how answers are read.
            comparer: which are the same.
            distinct: whether one sample counts once.
        """
        distinct = distinct and not self.fresh.all()
        return self.once(("votes", how, comparer, distinct), lambda: beginnings(self.voting(how, comparer, distinct)))

    def voting(self, how: Any, comparer: Comparer, distinct: bool = True, numbers: bool = False) -> Array:
        """The cluster of each answer in all orders, -1 where it does not count."""
        ordered = self.ordered(self.labels(how, comparer, numbers)[0])
        return np.where(self.fresh, ordered, -1) if distinct else ordered

    # --- weights ---

    def rewards(self, weight: Any) -> Array:
        """What an attempt is worth: a column, or what a function says of it; NaN where nothing is known."""
        return self.once(("rewards", weight), lambda: np.array([self._rewarded(one, weight) for one in self.pools]))

    def _rewarded(self, pool: Pool, weight: Any) -> list[float]:
        if not callable(weight):
            return pool.costs(weight)[: self.size]
        names = [name for name in pool.columns if name not in HIDDEN]
        found = []
        for at in range(self.size):
            row = {name: pool.columns[name][at] for name in names}
            found.append(_amount(weight, pool.columns["question"][at], row) if _has_answer(pool, at) else math.nan)
        return found

    def weights(self, rule: str, weight: Any) -> Array:
        """The weight of each attempt in a vote, from 0 on, as the strategy has it."""
        if rule == "confidence" or weight == "logprob":
            return np.nan_to_num(np.exp(self.rewards("logprob")), nan=0.0)
        return np.maximum(np.nan_to_num(self.rewards(weight), nan=0.0), 0.0)

    # --- texts and numbers ---

    def whole_numbers(self, how: Any) -> list[tuple[Array, int] | None]:
        """The numbers that answers say, over one denominator for each pool; None where they are too large for that."""
        return self.once(("numbers", how), lambda: self._whole_numbers(how))

    def _whole_numbers(self, how: Any) -> list[tuple[Array, int] | None]:
        counted = self.labels(how, self.comparer, numbers=True)[0] >= 0
        return [scaled(answers, own) for answers, own in zip(self.answers(how), counted, strict=True)]

    def texts(self, how: Any) -> Array:
        """A number for each different text of answers."""
        return self.once(("texts", how), lambda: self._texts(how))

    def _texts(self, how: Any) -> Array:
        found = np.full((len(self.pools), self.size), -1, dtype=np.int32)
        for place, answers in enumerate(self.answers(how)):
            known: dict[str, int] = {}
            for at, answer in enumerate(answers):
                if not isinstance(answer, Abstention | None):
                    found[place, at] = known.setdefault(text_of(answer), len(known))
        return found

    def alike(self, how: Any, pool: int) -> Callable[[int, int], float]:
        """How alike two attempts' answers are written; each pair is looked at once."""
        answers, codes = self.answers(how)[pool], self.texts(how)[pool]
        known: dict[tuple[int, int], float] = {}

        def found(a: int, b: int) -> float:
            key = int(codes[a]), int(codes[b])
            if key not in known:
                known[key] = known[key[1], key[0]] = similarity(text_of(answers[a]), text_of(answers[b]))
            return known[key]

        return found


def numeric(rule: Any) -> bool:
    """Whether a rule counts numbers alone."""
    return rule in QUANTITIES


def _has_answer(pool: Pool, at: int) -> bool:
    return pool.columns["abstention"][at] is None


def _stays(own: Any, text: Any) -> bool:
    """Whether nothing further can be read."""
    return text is None or (isinstance(own, Abstention) and own.kind in UNREAD)


def _extracted(text: str, how: Any) -> Any:
    try:
        found = how(text) if callable(how) else extract(text, how)
    except RTKError:
        raise
    except Exception as error:
        raise RTKError(
            f"extract={called(how)} failed on {text[-60:]!r}: {type(error).__name__}: {error}",
            mend="return None where there is no answer",
        ) from error
    return Abstention("malformed", "nothing was found in its text") if found is None else found


def _amount(weight: Callable[..., Any], question: str, row: dict[str, Any]) -> float:
    try:
        found = weight(question, row)
        amount = math.nan if found is None else float(found)
    except Exception as error:
        raise RTKError(
            f"weight={called(weight)} failed on the attempt at {row.get('address')}: {type(error).__name__}: {error}",
            mend="weight takes (question, attempt), the attempt a mapping with answer, text, logprob, reward and what "
            "it cost, and returns a number or None",
        ) from error
    if math.isinf(amount):
        raise RTKError(f"weight={called(weight)} returned {amount}", mend="a finite number, or None")
    return amount


def _all_pairs(answers: Sequence[Any], comparer: Comparer) -> bool:
    """Whether every two answers of a cluster are the same, and not only by way of others."""
    different = list({(type(one), text_of(one)): one for one in answers}.values())
    return len(different) < 3 or all(
        len(vote([one, other], comparer=comparer).clusters) == 1
        for place, one in enumerate(different)
        for other in different[:place]
    )
