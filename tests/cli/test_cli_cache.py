"""`rtk cache stats | ls | show`: what is kept, as a person, a pipe and a program read it."""

import json
import re

import pytest

from rtk.samples import Usage
from rtk.store import SampleStore

HOSTILE = "\x1b[2J\x1b]0;owned\x07 [bold red]x[/] \u202eevil\x9b31m :smile:"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def columns(line):
    """The cells of a line of a table in a pipe."""
    return re.split(r"\s{2,}", line.strip())


def table(said):
    """The rows of a table in a pipe, as dicts."""
    names, *rows = map(columns, said.splitlines())
    return [dict(zip(names, row, strict=False)) for row in rows]


def test_stats_count_what_is_there_of_each_model(command, put):
    """Requests, samples, tokens and dollars of each model, and of all."""
    put("2 + 2?", 3)
    put("3 + 3?", 1)
    put("2 + 2?", 2, model="openai/large")
    ran = command("cache", "stats")
    rows = {row["model"]: row for row in table(ran.out) if len(row) > 5}
    assert ran.status == 0
    assert [rows["openai/small"][name] for name in ("requests", "samples", "tokens in", "out", "dollars")] == [
        "2", "4", "40", "20", "0.0400",
    ]  # fmt: skip
    assert (rows["openai/large"]["samples"], rows["all"]["samples"]) == ("2", "6")
    assert "6 samples in" in ran.out


def test_an_unknown_price_is_never_nothing(command, put):
    """Where no price is known there is a dash, where some are, at least their sum; a price of 0 is 0."""
    put("a", 2, model="m/unknown", usage=Usage(1, 1, None))
    put("a", 2, model="m/some")
    put("b", 1, model="m/some", usage=Usage(1, 1, None))
    put("a", 2, model="m/free", usage=Usage(1, 1, 0.0))
    ran = command("cache", "stats")
    assert {row["model"]: row.get("dollars") for row in table(ran.out)[:3]} == {
        "m/unknown": "–", "m/some": "≥ 0.0200", "m/free": "0.00",
    }  # fmt: skip
    assert "the price of 3 samples is unknown" in ran.err
    told = json.loads(command("cache", "stats", "--json").out)
    assert {row["model"]: row["dollars"] for row in told["models"]} == {"m/unknown": None, "m/some": 0.02, "m/free": 0}


def test_what_others_drew_is_counted_apart(command, put):
    """Ingested samples have a column of their own, where there are any."""
    put("a", 2)
    assert "ingested" not in command("cache", "stats").out
    put("b", 3, ingested=True)
    assert table(command("cache", "stats").out)[0]["ingested"] == "3"


def test_ls_begins_with_what_was_drawn_last(command, put):
    """A line for each request, the newest first, or by the order that is asked for."""
    old = put("old", 5, drawn_at="2024-01-01T10:00:00.000+00:00")
    new = put("new", 1, drawn_at="2025-01-01T10:00:00.000+00:00")
    assert [row["key"] for row in table(command("cache", "ls").out)] == [new[:12], old[:12]]
    rows = table(command("cache", "ls", "--sort", "samples").out)
    assert [(row["key"], row["samples"], row["tokens"]) for row in rows] == [
        (old[:12], "5", "75"), (new[:12], "1", "15"),
    ]  # fmt: skip
    ran = command("cache", "ls", "--limit", "1")
    assert len(table(ran.out)) == 1
    assert "and 1 request more: --limit 2" in ran.err


def test_a_line_in_a_pipe_is_whole(command, put):
    """Nothing is cut where a program reads: neither a model's name nor a question, which is one line."""
    put("why\n  is " + "it so " * 60, model="hosted_vllm/" + "long-" * 20)
    (row,) = table(command("cache", "ls").out)
    assert row["model"] == "hosted_vllm/" + "long-" * 20
    assert row["last message"] == "why is " + ("it so " * 60).strip()


def test_a_model_is_chosen_by_its_name_or_a_pattern(command, put):
    """`--model` takes a name or a pattern; one that fits nothing is an error that names the models there are."""
    put("a", model="openai/small")
    put("a", model="embedded")
    assert len(table(command("cache", "ls", "--model", "embedded").out)) == 1
    assert len(table(command("cache", "ls", "--model", "*").out)) == 2
    failed = command("cache", "ls", "--model", "large")
    assert failed.status == 1
    assert "embedded, openai/small" in failed.err


def test_ls_is_json_for_a_program(command, put):
    """All requests with their counts, as one list."""
    key = put("why?", 3, drawn_at="2025-01-01T10:00:00.000+00:00")
    (held,) = json.loads(command("cache", "ls", "--json").out)
    assert (held["key"], held["samples"], held["dollars"], held["last_message"]) == (key, 3, 0.03, "why?")
    assert held["drawn_at"] == "2025-01-01T10:00:00.000+00:00"


def test_show_takes_the_beginning_of_a_key(command, put):
    """A request is shown by as much of its key as tells it apart, with its messages, options and samples."""
    key = put("What is 2 + 2?", 2, system="Be brief.", reasoning="two and two", served_model="small-2025")
    put("another")
    said = command("cache", "show", key[:12].upper()).out
    assert key in said
    order = ["temperature=0.7", "Be brief.", "What is 2 + 2?", "sample 0", "stop", "10 → 5 tokens", "$0.01",
             "small-2025", "two and two", "four", "sample 1"]  # fmt: skip
    places = [said.index(part) for part in order]
    assert places == sorted(places)


def test_show_gives_a_program_everything(command, put):
    """The request and its samples as JSON."""
    key = put("why?", 2, text="é\x1b[1m")
    raw = command("cache", "show", key, "--json").out
    told = json.loads(raw)
    assert (told["model"], told["messages"], told["options"]) == (
        "openai/small", [{"role": "user", "content": "why?"}], {"temperature": 0.7},
    )  # fmt: skip
    assert [(one["index"], one["text"], one["dollars"]) for one in told["samples"]] == [
        (0, "é\x1b[1m", 0.01), (1, "é\x1b[1m", 0.01),
    ]  # fmt: skip
    assert not RAW.search(raw)


@pytest.mark.parametrize("key", ["zz", "", "0123456789" * 7])
def test_a_key_that_names_no_request_is_an_error(command, put, key):
    """One that fits none, or several, is refused, and the mend says what to do."""
    put("a")
    put("b")
    failed = command("cache", "show", key)
    assert failed.status == 1
    assert "rtk cache ls" in failed.err or "write more of it" in failed.err


def test_an_ambiguous_key_names_the_requests_it_fits(command, put):
    """Of several keys that begin so, the beginnings are told."""
    keys = [put(str(number)) for number in range(40)]
    first = next(one for one in "0123456789abcdef" if sum(key.startswith(one) for key in keys) > 1)
    failed = command("cache", "show", first)
    fitting = sorted(key[:12] for key in keys if key.startswith(first))[:5]
    assert all(key in failed.err for key in fitting)


def test_what_a_model_wrote_does_nothing_to_a_terminal(command, put):
    """Escapes, marks of direction and markup are seen as what they are, in every command and in both forms."""
    key = put(HOSTILE, 1, text=HOSTILE, reasoning=HOSTILE, served_model=HOSTILE, finish_reason=HOSTILE, model=HOSTILE)
    for arguments in (["ls"], ["ls", "--json"], ["stats"], ["stats", "--json"], ["show", key], ["show", key, "--json"]):
        ran = command("cache", *arguments)
        assert not RAW.search(ran.out + ran.err), arguments
        assert "[bold red]x[/]" in ran.out, arguments
    failed = command("cache", "ls", "--model", "\x1b[1mno")
    assert failed.status == 1
    assert not RAW.search(failed.err)


@pytest.mark.parametrize("arguments", [["stats"], ["ls"], ["show", "a"], ["verify"], ["rm", "--all"],
                                       ["export", "x.jsonl"]])  # fmt: skip
def test_looking_makes_no_store(command, tmp_path, arguments):
    """A folder without a store is an error and stays as it is."""
    failed = command("cache", *arguments, "--store", tmp_path / "typo")
    assert failed.status == 1
    assert "there is no store in" in failed.err
    assert not (tmp_path / "typo").exists()


def test_a_damaged_entry_is_told_of(command, put, own_store):
    """What cannot be read is counted apart, and does not hide the rest."""
    key = put("a", 3)
    with SampleStore(own_store) as store:
        store._database.set(f"sample:{key}:0:{1:010d}", "{broken")
    ran = command("cache", "stats")
    assert (table(ran.out)[0]["samples"], table(ran.out)[0]["damaged"]) == ("2", "1")
    assert "rtk cache verify" in ran.err
    shown = command("cache", "show", key)
    assert "DamagedSample" in shown.err
    assert "sample 2" in shown.out


# --- on a terminal ------------------------------------------------------------------------------------------------


@pytest.fixture
def shown(on_a_terminal):
    """What `rtk cache …` writes to a terminal, with what only steers the cursor and the colours taken out."""

    def run(width, *arguments):
        status, raw = on_a_terminal("cache", *arguments, TERM="xterm-256color", COLUMNS=str(width))
        assert status == 0
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", raw.decode())

    return run


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_fits_the_terminal(put, shown, width):
    """No line is longer than the terminal is wide, numbers are whole, and no escape of a model's gets through."""
    put(HOSTILE + " 日本語の質問です" * 30, 1200, model="hosted_vllm/meta-llama/Llama-3.3-70B-Instruct-of-some-length")
    said = shown(width, "ls")
    assert "1,200" in said
    assert "18,000" in said
    assert "…" in said
    assert max(map(len, said.splitlines())) <= width
    assert not RAW.search(said)


def test_a_screen_holds_the_newest(put, shown):
    """On a terminal fifty requests are listed, and how many more there are."""
    for number in range(52):
        put(f"question {number}")
    assert len([line for line in shown(100, "ls").splitlines() if "question" in line]) == 50
