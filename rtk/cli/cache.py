"""`rtk cache`: the samples that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from fnmatch import fnmatchcase
from heapq import nlargest
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import rtk
from rtk.cli.amounts import ago, count, dollars, moment, size
from rtk.cli.output import UNKNOWN, as_json, bar, complain, err, out, table, tell
from rtk.cli.samples import as_values, show_request, show_sample
from rtk.errors import RTKError, StoreError

if TYPE_CHECKING:
    from rtk.samples import Request, Sample
    from rtk.store import Held, Tally

app = typer.Typer(no_args_is_help=True, help="The samples that are kept: what there is, in and out, and away.")

Folder = Annotated[Path | None, typer.Option("--store", help="The store's folder; RTK_CACHE, else the default one.")]
Model = Annotated[str | None, typer.Option("--model", help="Only of this model; * stands for anything.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file of samples.")]
Key = Annotated[str, typer.Argument(help="A request's key, or its beginning, as `rtk cache ls` shows it.")]
ON_A_SCREEN = 50
SHORT = 12  # characters of a key
SHOWN = 5  # names in a message
AT_ONCE = 500  # requests removed in a transaction


class Order(StrEnum):
    """By what requests are listed, the most of it first."""

    drawn = "drawn"
    samples = "samples"
    tokens = "tokens"
    dollars = "dollars"


_MOST = {
    Order.drawn: lambda held: held.tally.drawn_at,
    Order.samples: lambda held: held.tally.samples,
    Order.tokens: lambda held: held.tally.tokens,
    Order.dollars: lambda held: held.tally.dollars,
}


# --- looking ------------------------------------------------------------------------------------------------------


@app.command()
def stats(folder: Folder = None, json: AsJson = False) -> None:
    """What there is of each model, and what it cost when it was drawn."""
    from rtk.store import Tally

    store, models, total = _there(folder), dict[str, Tally](), Tally()
    for held in _overview(store, None):
        models.setdefault(held.model, Tally()).add(held.tally)
        total.add(held.tally)
    rows = sorted(models.items())
    if json:
        told = [{"model": name or None, **_values(tally)} for name, tally in rows]
        as_json({"path": str(store.path), "size": store.size, "models": told, "all": _values(total)})
        return
    if not rows:
        tell(f"no samples in {store.path}", err)
        return
    rows += [("all", total)] if len(rows) > 1 else []
    more = [name for name in ("ingested", "damaged") if getattr(total, name)]
    numbers = ("requests", "samples", *more, "tokens in", "out", "dollars", "size")
    table(("model", *numbers), [_row(name, tally, more) for name, tally in rows], right=numbers, cut=("model",))
    tell(f"{count(total.samples, 'sample')} in {store.path}, {size(store.size)} on the disk")
    if total.unpriced:
        tell(f"{UNKNOWN} and ≥: the price of {count(total.unpriced, 'sample')} is unknown (rtk.LM takes price=)", err)
    _warn_of(total)


def _row(name: str, tally: Tally, more: list[str]) -> list[str]:
    rare = [f"{getattr(tally, each):,}" for each in more]
    counts = (f"{number:,}" for number in (tally.requests, tally.samples))
    tokens = (f"{number:,}" for number in (tally.prompt_tokens, tally.completion_tokens))
    return [name or UNKNOWN, *counts, *rare, *tokens, dollars(tally), size(tally.size)]


@app.command("ls")
def list_requests(
    folder: Folder = None,
    model: Model = None,
    sort: Annotated[Order, typer.Option(help="By what, the most of it first.")] = Order.drawn,
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"At most so many; {ON_A_SCREEN} on a terminal, else all.")
    ] = None,
    json: AsJson = False,
) -> None:
    """The requests: how many samples there are of each, and when the last was drawn."""
    store, total = _there(folder), 0
    if limit is None and out.is_terminal and not json:
        limit = ON_A_SCREEN

    def counted() -> Iterator[Held]:
        nonlocal total
        for held in _overview(store, model):
            total += 1
            yield held

    most = _MOST[sort]
    found = sorted(counted(), key=most, reverse=True) if limit is None else nlargest(limit, counted(), key=most)
    if json:
        as_json([_listed(held) for held in found])
        return
    if not found:
        tell(f"no samples in {store.path}", err)
        return
    when = ago if out.is_terminal else moment
    rows = [
        (held.key[:SHORT], held.model or UNKNOWN, f"{held.tally.samples:,}", f"{held.tally.tokens:,}",
         when(held.tally.drawn_at), held.said)
        for held in found
    ]  # fmt: skip
    columns = ("key", "model", "samples", "tokens", "drawn", "last message")
    table(columns, rows, right=("samples", "tokens"), cut=("model", "last message"))
    if total > len(found):
        tell(f"and {count(total - len(found), 'request')} more: --limit {total}", err)


@app.command()
def show(
    key: Key,
    folder: Folder = None,
    limit: Annotated[
        int | None, typer.Option(min=0, help=f"At most so many samples; {ON_A_SCREEN} on a terminal, else all.")
    ] = None,
    json: AsJson = False,
) -> None:
    """A request with its messages, and its samples with what each cost."""
    store = _there(folder)
    held = _held(store, key)
    request = store.request(held.key)
    if limit is None and out.is_terminal and not json:
        limit = ON_A_SCREEN
    samples = islice(store.samples(held.key), limit)
    if json:
        as_json({"key": held.key, **(request.value if request else {}), "samples": list(map(as_values, samples))})
        return
    show_request(held, request)
    for sample in samples:
        show_sample(sample)
    if limit is not None and held.tally.samples > limit:
        tell(f"and {count(held.tally.samples - limit, 'sample')} more: --limit {held.tally.samples}", err)


# --- in and out ---------------------------------------------------------------------------------------------------


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="The file to write: ….jsonl or ….jsonl.gz.")],
    folder: Folder = None,
    model: Model = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write samples to a file, which `rtk cache merge` and `rtk.recording` read."""
    store, written = _there(folder), 0
    if path.exists() and not force:
        raise StoreError(f"{path} is there already", mend="name another file, or write over it: --force")
    chosen = {held.key: held.tally.samples for held in _overview(store, model)}
    total = sum(chosen.values())
    with bar("writing") as step:

        def where(request: Request, sample: Sample) -> bool:
            nonlocal written
            written += request.key in chosen
            step(written, total)
            return request.key in chosen

        store.export(path, where)
    tell(f"{count(written, 'sample')} of {count(len(chosen), 'request')} in {path}")


@app.command()
def merge(path: File, folder: Folder = None) -> None:
    """Add the samples of a file; where another sample is at an address, it stays. Ends with status 1 for conflicts."""
    store = rtk.SampleStore(folder)
    with bar(f"merging {path}"):
        merged = store.merge(path)
    tell(f"{merged}; {count(store.count(), 'sample')} in {store.path}")
    for address in merged.conflicts[:ON_A_SCREEN]:
        complain("in conflict", str(address))
    if len(merged.conflicts) > ON_A_SCREEN:
        tell(f"and {len(merged.conflicts) - ON_A_SCREEN:,} more in conflict", err)
    for key in merged.other_models:
        complain("another model", f"the samples of {key} are another model's than those here; none was added")
    raise typer.Exit(bool(merged.conflicts or merged.other_models))


@app.command()
def verify(
    path: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="A file of samples; the store where none is named."),
    ] = None,
    folder: Folder = None,
) -> None:
    """Read every entry and check it. Ends with status 1 where one is damaged."""
    from rtk.store import verified

    if path is not None:
        with bar(f"reading {path}"):
            found = verified(path)
        tell(f"{found} in {path}")
    else:
        store = _there(folder)
        with bar("reading") as step:
            total = store.count()  # requests are read, too; they are few beside their samples
            found = store.verify(lambda done: step(min(done, total), total))
        tell(f"{found} in {store.path}")
    for row in found.damaged:
        complain("damaged", row)
    if found.damaged:
        tell("what is damaged counts as absent: when it is asked for again, it is drawn anew and replaced", err)
    raise typer.Exit(bool(found.damaged))


@app.command("rm")
def remove(
    keys: Annotated[list[str] | None, typer.Argument(help="Keys of requests, or their beginnings.")] = None,
    folder: Folder = None,
    model: Model = None,
    everything: Annotated[bool, typer.Option("--all", help="All there is.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove the samples of requests, of a model, or all; asks first."""
    from rtk.store import Tally

    if bool(keys) + (model is not None) + everything != 1:
        raise RTKError("which samples?", mend="name a request's key, --model NAME or --all, one of the three")
    store, total = _there(folder), Tally()
    found = (_held(store, key) for key in keys) if keys else _overview(store, model)
    chosen = {held.key: held.tally for held in found}
    for tally in chosen.values():
        total.add(tally)
    if not chosen:
        tell(f"no samples in {store.path}", err)
        return
    what = f"{count(total.samples, 'sample')} of {count(total.requests, 'request')}"
    paid = f", {dollars(total)} dollars when drawn," if total.dollars else ""
    if not yes:
        typer.confirm(f"Remove {what}{paid} from {store.path}?", abort=True, err=True)
    tell(f"{count(_remove(store, list(chosen)), 'sample')} removed; {store.path} takes {size(store.size)}")


def _remove(store: rtk.SampleStore, keys: list[str]) -> int:
    removed = 0
    with bar("removing") as step:
        try:
            for start in range(0, len(keys), AT_ONCE):
                removed += store.remove(*keys[start : start + AT_ONCE])
                step(start, len(keys))
        except KeyboardInterrupt:
            complain("stopped", f"{count(removed, 'sample')} removed, the others are there")
            raise
        step(len(keys), len(keys), "giving room back to the disk")
        store.compact()
    return removed


# --- which samples ------------------------------------------------------------------------------------------------


def _there(folder: Path | None) -> rtk.SampleStore:
    """The store, which must be there: looking makes none."""
    return rtk.SampleStore(folder, make=False)


def _overview(store: rtk.SampleStore, model: str | None) -> Iterator[Held]:
    """What there is of each request, or of those of a model; a bar tells how far it is."""
    done, total, models = 0, store.count(), set[str]()
    with bar(f"reading {store.path}") as step:
        for held in store.overview():
            done += held.tally.samples
            step(done, total)
            models.add(held.model)
            if model is None or fnmatchcase(held.model, model):
                yield held
    if model is not None and not any(fnmatchcase(name, model) for name in models):
        there = ", ".join(sorted(filter(None, models))[:SHOWN]) or "no model"
        raise StoreError(f"no sample of {model!r} is in {store.path}", mend=f"there is {there}")


def _held(store: rtk.SampleStore, key: str) -> Held:
    """What there is of the one request whose key begins so."""
    found = list(islice(store.overview(key.lower()), SHOWN + 1))
    if len(found) == 1:
        return found[0]
    if not found:
        raise StoreError(f"no request's key begins with {key!r}", mend="`rtk cache ls` shows the keys")
    length = max(SHORT, len(key) + 4)
    more = ", …" if len(found) > SHOWN else ""
    named = ", ".join(held.key[:length] for held in found[:SHOWN])
    raise StoreError(f"the keys of several requests begin with {key!r}: {named}{more}", mend="write more of it")


# --- as values ----------------------------------------------------------------------------------------------------


def _values(tally: Tally) -> dict[str, Any]:
    """A tally for a program: dollars are null where not one price is known."""
    unknown = {"dollars": None} if tally.samples and tally.unpriced == tally.samples else {}
    return asdict(tally) | unknown | {"drawn_at": tally.drawn_at or None}


def _listed(held: Held) -> dict[str, Any]:
    counts = {name: value for name, value in _values(held.tally).items() if name != "requests"}
    return {"key": held.key, "model": held.model or None, **counts, "last_message": held.said}


def _warn_of(tally: Tally) -> None:
    if tally.damaged:
        complain("damaged", f"{count(tally.damaged, 'entry', 'entries')}; which: rtk cache verify")
