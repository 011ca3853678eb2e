"""`rtk doctor`: which engines answer, what their models honour, and whether samples can be kept."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtk.cli.amounts import count, size
from rtk.cli.output import UNKNOWN, as_json, bar, complain, table, tell

if TYPE_CHECKING:
    from rtk.models import Ping
    from rtk.models import doctor as examination

_HONOURED = {"n": "n", "seed": "seed", "logprobs": "logprobs", "response_format": "schema", "streaming": "streams"}
"""Fields of a `Ping`, and the columns that show them."""
_FOURTH = "models, or what to type"


def doctor(
    model: Annotated[str | None, typer.Option(help="Ask this model alone, such as openai/gpt-4o-mini.")] = None,
    api_base: Annotated[str | None, typer.Option(help="Its endpoint; its key is in the environment.")] = None,
    remote: Annotated[
        bool, typer.Option("--remote", help="Ask endpoints on other machines, too, that the environment names.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Look only at what there is; ask no model.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--store", help="The store's folder; RTK_CACHE, else the default one.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What answers on this machine, what it honours and how fast it is. Ends with status 1 where nothing does.

    Only this machine is asked; a hosted model with --model, and then a few short samples are paid for.
    """
    from rtk.models import doctor as examination

    if api_base and not model:
        raise typer.BadParameter("it goes with --model", param_hint="--api-base")
    with bar("") as step:
        found = examination.check(model, api_base=api_base, remote=remote, ask=not quick, store=folder,
                      progress=lambda doing: step(0, None, doing))  # fmt: skip
    if json:
        as_json({**asdict(found), "healthy": found.healthy})
    else:
        _show(found, named=model is not None)
    raise typer.Exit(not found.healthy)


def _show(found: examination.Checkup, *, named: bool) -> None:
    tell(", ".join(f"{name} {version}" for name, version in found.versions.items() if version) + "\n")
    table(("engine", "where", "state", _FOURTH), [_place(place) for place in found.places], cut=(_FOURTH,))
    for place in found.places:
        if place.ping is not None and not place.ping.answers:
            complain(place.engine, place.ping.error or "", place.ping.mend)
    asked = [(place.line, place.ping) for place in found.places if place.ping is not None and place.ping.answers]
    if asked:
        tell("")
        names = ("model", *_HONOURED.values(), "tokens/s")
        table(names, [_asked(line, ping) for line, ping in asked], right=("tokens/s",), cut=("model",))
        tell(_LEGEND)
    tell("")
    _store(found.store)
    if not named:
        _hosted(found.keys)
    for name, command in found.extras.items():
        tell(f"{name}: not installed: {command}")


_LEGEND = """
n: several samples in one request; elsewhere rtk sends one request for each
seed: the same seed gives the same text      logprobs: log-probabilities of the tokens
schema: a JSON schema is kept to             streams: the text comes word by word
tokens/s: written by one sample alone; several at once are faster in all"""


def _place(place: examination.Place) -> tuple[str, str, str, str]:
    return place.engine, place.where, place.state, place.brief


def _asked(line: str, ping: Ping) -> list[str]:
    rate = UNKNOWN if ping.tokens_per_second is None else f"{ping.tokens_per_second:,.0f}"
    return [line, *map(ping.word, _HONOURED), rate]


def _store(kept: examination.Kept) -> None:
    if kept.error:
        complain("store", kept.error, kept.mend)
        return
    holds = f"{count(kept.samples, 'sample')}, {size(kept.size)}" if kept.there else "made by the first sample"
    tell(f"store: {kept.path}: {holds}")
    if not kept.writable:
        complain("store", f"{kept.path} cannot be written to", "name another folder: RTK_CACHE=FOLDER, or store=")


def _hosted(keys: dict[str, str]) -> None:
    if not keys:
        return
    prefix = next(iter(keys.values()))
    tell(f"hosted: {', '.join(keys)} {'is' if len(keys) == 1 else 'are'} set; nobody was asked: "
         f"rtk doctor --model {prefix}/NAME does, for a few paid samples")  # fmt: skip
