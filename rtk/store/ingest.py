"""Samples that others drew, from a table of theirs: each row one, at the address at which a program asks for it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rtk.errors import RTKError, StoreError
from rtk.samples import Address, Request, Sample, Stream, Usage, addresses, readable, usual_temperature
from rtk.store.exchange import Holder, Merged, add_all
from rtk.store.frames import Row, rows_of
from rtk.store.layout import INDEX_DIGITS

Messages = Callable[[Row], Sequence[Mapping[str, Any]]]
"""What was asked in a row: `row -> messages`."""

ASKED = ("messages", "prompt", "question")
SAID = ("text", "completion")
OPTIONS = ("temperature", "top_p", "min_p", "top_k", "max_tokens")
KNOWN = frozenset(
    {*OPTIONS, "index", "prompt_tokens", "completion_tokens", "tokens", "reasoning_tokens", "dollars", "seconds",
     "reasoning", "finish_reason", "logprobs", "tool_calls", "served_model", "drawn_at"}
)  # fmt: skip

_SHOWN = 5  # of the rows that cannot be read
_MOST = 2**53  # see `rtk.samples`


@dataclass
class Ingested(Merged):
    """What an ingestion did; otherwise as `Merged`.

    Attributes:
        unused: columns that say nothing of a sample; none where `messages=` may have read them.
    """

    unused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return super().__str__() + (f"; columns not used: {', '.join(self.unused)}" if self.unused else "")


def ingest_into(
    store: Holder, table: Any, model: str, messages: Messages | None, options: Mapping[str, Any], revision: str | None
) -> Ingested:
    """Add the samples of a table, the whole of it having been found sound; see `SampleStore.ingest`."""
    if not isinstance(model, str) or not model:
        raise StoreError(f"{model!r} names no model", mend="the model string that rtk.LM will be given: 'openai/NAME'")
    told, rows = Ingested(), rows_of(table)
    if rows:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        _refuse_several_models(rows)
        reading = _Reading(columns, model, messages, options, revision)
        add_all(store, reading.groups(rows), told)
        told.unused = [name for name in columns if name not in reading.used] if messages is None else []
    return told


class _Wrong(Exception):
    """What is wrong with a cell."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(f"column {column!r}: {why}")


class _Reading:
    """How the rows of one table are read."""

    def __init__(
        self,
        columns: list[str],
        model: str,
        messages: Messages | None,
        options: Mapping[str, Any],
        revision: str | None,
    ) -> None:
        self._model, self._messages = model, messages
        self._identity = {"revision": revision} if revision else {}
        given = {name: value for name, value in options.items() if value is not None}
        self._options = {"temperature": usual_temperature(model), **given}
        Request.of(model, [], self._options, self._identity)  # raises for what no row is to blame for
        self._asked = "messages" if messages is not None else _first(columns, ASKED)
        self._said = _first(columns, SAID)
        self._indexed = "index" in columns
        self._written = "completion_tokens" if "completion_tokens" in columns else "tokens"
        self.used = {self._asked, self._said, *(name for name in columns if name in KNOWN)}

    def groups(self, rows: list[Row]) -> list[tuple[Request, list[Sample]]]:
        """The samples of each request, in the order of the rows.

        Raises:
            StoreError: naming the rows that cannot be read, and their columns.
        """
        found: dict[Request, list[Sample]] = {}
        wrong, counts, places = list[str](), Counter[Request](), dict[Address, int]()
        for number, row in enumerate(rows):
            try:
                request = self._request(row, number)
                index = _index(row) if self._indexed else counts[request]
                sample = self._sample(row, addresses(request, Stream(), index, 1)[0])
                if not request.greedy and places.setdefault(sample.address, number) != number:
                    raise _Wrong("index", f"{index} a second time for what row {places[sample.address]} asks")
            except _Wrong as error:
                wrong.append(f"row {number}, {error}")
                continue
            counts[request] += 1
            found.setdefault(request, []).append(sample)
        _refuse_wrong(wrong)
        if self._indexed and len(found) > 1 and all(row["index"] in (i, str(i)) for i, row in enumerate(rows)):
            raise StoreError("the column 'index' counts the rows, not the samples of each prompt",
                             mend="drop it: without one, samples count in the order of the rows")  # fmt: skip
        return list(found.items())

    def _request(self, row: Row, number: int) -> Request:
        columns = {name: _amount(row, name) for name in OPTIONS}
        options = {**self._options, **{name: value for name, value in columns.items() if value is not None}}
        messages = self._asked_by(row, number)
        try:
            return Request.of(self._model, messages, options, self._identity)
        except RTKError as error:
            raise _Wrong(self._asked, str(error)) from error

    def _asked_by(self, row: Row, number: int) -> Any:
        if self._messages is not None:
            return _messages(self._asked, _called(self._messages, row, number))
        if self._asked == "messages":
            return _messages(self._asked, _value(row, "messages"))
        return [{"role": "user", "content": _needed(row, self._asked)}]

    def _sample(self, row: Row, address: Address) -> Sample:
        usage = Usage(
            _count(row, "prompt_tokens") or 0,
            _count(row, self._written) or 0,
            _amount(row, "dollars"),
            float(_amount(row, "seconds") or 0.0),
            _count(row, "reasoning_tokens"),
        )
        return Sample(
            address,
            readable(_needed(row, self._said)),
            usage,
            _text(row, "reasoning"),
            _text(row, "finish_reason"),
            _value(row, "logprobs"),
            _value(row, "tool_calls"),
            _text(row, "served_model"),
            _time(row, "drawn_at"),
            ingested=True,
        )


# --- the table as a whole ---------------------------------------------------------------------------------------


def _first(columns: list[str], names: tuple[str, ...]) -> str:
    found = next((name for name in names if name in columns), None)
    if found is None:
        raise StoreError(
            f"the table has no column {' or '.join(map(repr, names))}, but {', '.join(columns) or 'none'}",
            mend=f"rename the one that is meant: frame.rename(columns={{'…': {names[-1]!r}}})",
        )
    return found


def _refuse_several_models(rows: list[Row]) -> None:
    models = sorted({str(row["model"]) for row in rows if row.get("model") is not None})
    if len(models) > 1:
        raise StoreError(
            f"the column 'model' names {len(models)} models ({', '.join(models[:4])}): their samples would be mixed",
            mend="one call for each: for name, part in frame.groupby('model'): store.ingest(part, model=name)",
        )


def _refuse_wrong(wrong: list[str]) -> None:
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more rows" if len(wrong) > _SHOWN else ""
        raise StoreError(
            f"{'; '.join(wrong[:_SHOWN])}{more}. Rows count from 0; nothing was stored",
            mend="mend these rows, or leave them out",
        )


def _called(messages: Messages, row: Row, number: int) -> Any:
    try:
        return messages(dict(row))
    except Exception as error:  # the user's own function
        error.add_note(f"raised by messages(row) for row {number} of the table; nothing was stored")
        raise


# --- cells ------------------------------------------------------------------------------------------------------


def _cell(row: Row, name: str) -> Any:
    """What stands in a cell; None where nothing does. In a CSV file that is an empty text."""
    found = row.get(name)
    return None if found == "" else found


def _needed(row: Row, name: str) -> str:
    """The text in a cell that has one; an empty one is a text too."""
    found = row.get(name)
    if found is None:
        raise _Wrong(name, "nothing is there; where the model said nothing, write ''")
    if isinstance(found, list):
        raise _Wrong(name, f"a list of {len(found)}; frame.explode({name!r}) makes a row of each")
    if not isinstance(found, str):
        raise _Wrong(name, f"{found!r:.40} is no text")
    return found


def _text(row: Row, name: str) -> str | None:
    return None if _cell(row, name) is None else readable(_needed(row, name))


def _time(row: Row, name: str) -> str:
    found = _cell(row, name)
    return found.isoformat() if hasattr(found, "isoformat") else _text(row, name) or ""


def _index(row: Row) -> int:
    found = _count(row, "index")
    if found is None or found >= 10**INDEX_DIGITS:
        raise _Wrong("index", f"{row.get('index')!r:.40} is the place of no sample")
    return found


def _count(row: Row, name: str) -> int | None:
    found = _amount(row, name)
    if found is not None and found != int(found):
        raise _Wrong(name, f"{found!r:.40} is no whole number")
    return None if found is None else int(found)


def _amount(row: Row, name: str) -> int | float | None:
    found = _cell(row, name)
    if isinstance(found, str):
        try:
            found = float(found)
        except ValueError as error:
            raise _Wrong(name, f"{found!r:.40} is no number") from error
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < _MOST:
        raise _Wrong(name, f"{found!r:.40} is no number from 0 on")
    return found


def _value(row: Row, name: str) -> Any:
    """A nested value, perhaps written as JSON."""
    found = _cell(row, name)
    if not isinstance(found, str):
        return found
    try:
        return json.loads(found)
    except (ValueError, RecursionError) as error:
        raise _Wrong(name, f"no JSON: {error}") from error


def _messages(column: str, found: Any) -> Any:
    several = isinstance(found, Sequence) and not isinstance(found, str) and len(found) > 0
    if not several or not all(isinstance(one, Mapping) and isinstance(one.get("role"), str) for one in found):
        raise _Wrong(column, f"{found!r:.40} is no list of messages, each with its role and content")
    return found
