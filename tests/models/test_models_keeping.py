"""Keeping: what is stored and what is not, another model behind the name, damage, and a store that cannot be used."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from serving import QUESTION, numbered, over, stored

import rtk
from rtk.errors import ServedModelChanged, StoreError
from rtk.store import DamagedSample
from rtk.testing import ScriptedServer

# --- an LM that keeps nothing ---


@pytest.mark.parametrize("wire", ["openai", "ollama"])
def test_without_cache_every_call_draws_anew_and_stores_nothing(wire):
    """`cache=False` of an LM, a copy or a call: other samples each time, and an empty store."""
    with ScriptedServer(numbered(), wire=wire) as server:
        lm = over(server, cache=False)
        texts = [*lm(QUESTION, n=3), *lm(QUESTION, n=3)]
        keeping = over(server)
        texts += [*keeping(QUESTION, cache=False), *keeping.copy(cache=False)(QUESTION)]
        assert len(set(texts)) == 8
        assert server.choices_served == 8
        assert keeping.store.count() == 0
        assert keeping(QUESTION) == ["reply 8"]
        assert keeping(QUESTION) == ["reply 8"]


def test_without_cache_what_is_stored_is_not_read():
    """A call that wants a fresh sample gets one, and the stored one stays."""
    with ScriptedServer(numbered()) as server:
        lm = over(server)
        assert lm(QUESTION) == ["reply 0"]
        assert lm(QUESTION, cache=False) == ["reply 1"]
        assert lm(QUESTION) == ["reply 0"]


def test_what_is_kept_and_what_is_not_fly_together():
    """`concurrency=` holds for an LM, whatever its calls do with their samples."""
    with ScriptedServer(numbered()) as server, ThreadPoolExecutor(2) as pool:
        lm = over(server, server_n=False, concurrency=3)
        with server.hold():
            asked = [pool.submit(lm, QUESTION, n=4, cache=cache) for cache in (True, False)]
            server.wait_for(lambda s: s.held == 3)
        assert len({*asked[0].result(300), *asked[1].result(300)}) == 8
        assert server.peak_in_flight == 3


def test_without_cache_no_store_is_opened(own_store):
    """An LM that keeps nothing needs no store."""
    with ScriptedServer(numbered()) as server:
        over(server, cache=False)(QUESTION)
    assert list(own_store.iterdir()) == []


async def test_without_cache_a_caller_who_leaves_ends_the_request():
    """Nobody else can want it."""
    with ScriptedServer(numbered()) as server, server.hold():
        task = asyncio.create_task(over(server, cache=False).acall(QUESTION, n=2))
        await asyncio.to_thread(server.wait_for, lambda s: s.held == 1)
        task.cancel()
        await asyncio.to_thread(server.wait_for, lambda s: s.in_flight == 0)


def test_at_temperature_zero_without_cache_a_sample_is_still_one():
    """Asked for four, one is drawn and given four times."""
    with ScriptedServer(numbered()) as server:
        assert over(server, cache=False, temperature=0)(QUESTION, n=4) == ["reply 0"] * 4
        assert server.choices_served == 1


# --- where it is kept ---


def test_the_store_is_where_it_was_said(tmp_path, own_store, monkeypatch):
    """A `SampleStore`, a folder, or RTK_CACHE, read when the first sample is needed."""
    with ScriptedServer(numbered()) as server:
        given = rtk.SampleStore(tmp_path / "a")
        assert over(server, store=given).store is given
        assert over(server, store=str(tmp_path / "b")).store.path == tmp_path / "b"
        lm = over(server)
        monkeypatch.setenv("RTK_CACHE", str(tmp_path / "c"))
        lm(QUESTION)
        assert lm.store.path == tmp_path / "c"
        monkeypatch.setenv("RTK_CACHE", str(own_store))
        assert lm(QUESTION) == ["reply 0"]
        assert lm.store.path == tmp_path / "c"


def test_a_sample_holds_what_is_known_of_it():
    """Its address, cost, time, versions and the name the server gave itself."""
    with ScriptedServer(numbered(), served_model="scripted-0613") as server:
        lm = over(server, price=(1, 1))
        lm(QUESTION, n=2)
    sample = stored(lm, 2)[1]
    assert (sample.address.stream, sample.address.index, sample.text) == ("0", 1, "reply 1")
    assert (sample.served_model, sample.finish_reason) == ("scripted-0613", "stop")
    assert sample.usage.prompt_tokens == 5
    assert sample.usage.dollars > 0
    assert sample.usage.seconds > 0
    assert sample.drawn_at.endswith("+00:00")
    assert dict(sample.versions).keys() == {"dspy", "rtk"}


# --- another model behind the name ---


def test_another_model_under_the_name_is_an_error_that_names_revision():
    """Samples of two models are not mixed: what was drawn stays, and a revision makes room for the new one."""
    with ScriptedServer(numbered(), served_model="one") as server:
        lm = over(server)
        two = lm(QUESTION, n=2)
        server.served_model = "two"
        with pytest.raises(ServedModelChanged) as caught:
            lm(QUESTION, n=4)
        assert 'revision="two"' in caught.value.mend
        assert lm(QUESTION, n=2) == two
        assert lm.store.count() == 2
        assert len(over(server, revision="two")(QUESTION, n=4)) == 4
        server.served_model = "one"
        assert lm(QUESTION, n=3)[:2] == two


def test_a_router_that_mixes_models_loses_no_sample_of_the_first():
    """Of replies that come together, those of the known model are kept though another's is refused."""
    with ScriptedServer(numbered(), served_model="one") as server:
        lm = over(server, server_n=False, concurrency=8)
        lm(QUESTION)
        with server.hold():

            async def ask():
                asked = asyncio.create_task(lm.acall(QUESTION, n=8))
                await asyncio.to_thread(server.wait_for, lambda s: s.held == 7)
                server.release(count=4)
                await asyncio.to_thread(server.wait_for, lambda s: s.choices_served == 5)
                server.served_model = "two"
                server.release()
                await asked

            with pytest.raises(ServedModelChanged):
                asyncio.run(ask())
    assert len(stored(lm, 8)) == 5


def test_another_model_for_another_question_is_none_of_the_firsts_business():
    """The name belongs to the samples of one request."""
    with ScriptedServer(numbered(), served_model="one") as server:
        lm = over(server)
        lm(QUESTION)
        server.served_model = "two"
        assert lm("another") == ["reply 1"]


# --- damage ---


def change(folder, old, new):
    """Change the text of stored samples behind the store's back."""
    with closing(sqlite3.connect(folder / "cache.db")) as database, database:
        found = database.execute("SELECT rowid, value FROM Cache WHERE key LIKE 'sample:%'").fetchall()
        for row, value in found:
            database.execute("UPDATE Cache SET value = ? WHERE rowid = ?", (value.replace(old, new), row))


def test_a_damaged_sample_is_drawn_again_and_replaced(own_store):
    """It is reported once; its neighbours are not touched, and afterwards all is well."""
    with ScriptedServer(numbered()) as server:
        lm = over(server)
        lm(QUESTION, n=3)
        change(own_store, "reply 1", "reply X")
        with pytest.warns(DamagedSample) as warned:
            assert lm(QUESTION, n=3) == ["reply 0", "reply 3", "reply 2"]
        assert len(warned) == 1
        assert server.choices_served == 4
        assert lm(QUESTION, n=3) == ["reply 0", "reply 3", "reply 2"]
        assert server.choices_served == 4


def test_a_sample_of_another_address_is_not_believed(own_store):
    """A row that was moved is damage too."""
    with ScriptedServer(numbered()) as server:
        lm = over(server)
        lm(QUESTION, n=2)
        with closing(sqlite3.connect(own_store / "cache.db")) as database, database:
            [(value,)] = database.execute("SELECT value FROM Cache WHERE key LIKE 'sample:%0'").fetchall()
            assert json.loads(value)["text"] == "reply 0"
            database.execute("UPDATE Cache SET value = ? WHERE key LIKE 'sample:%1'", (value,))
        with pytest.warns(DamagedSample):
            assert lm(QUESTION, n=2) == ["reply 0", "reply 2"]


# --- a store that cannot be used ---


def test_a_store_that_cannot_be_opened_is_one_error(tmp_path):
    """A folder that is a file: an error with a mend, and no request is paid for."""
    (tmp_path / "file").write_text("")
    with ScriptedServer(numbered()) as server:
        with pytest.raises(StoreError) as caught:
            over(server, store=tmp_path / "file")(QUESTION)
        assert caught.value.mend
        assert server.count == 0


def test_a_store_that_fails_while_writing_is_an_error_for_all_who_wait(tmp_path, monkeypatch):
    """Whatever goes wrong there reaches the callers, who would wait for ever otherwise; then it works again."""
    store = rtk.SampleStore(tmp_path)
    with ScriptedServer(numbered()) as server:
        lm = over(server, store=store)
        for error in (StoreError("the disk is full", mend="make room"), RuntimeError("something else")):

            def fail(groups, error=error):
                raise error

            monkeypatch.setattr(store, "write_all", fail)
            with pytest.raises(type(error), match=str(error)):
                lm(QUESTION, n=3)
            monkeypatch.undo()
        assert len(lm(QUESTION, n=3)) == 3


def test_text_that_no_disk_can_carry_is_made_readable():
    """A lone surrogate in a reply is replaced, and the sample is the same when it is read back."""
    raw = b'{"model": "scripted", "choices": [{"message": {"content": "a\\ud800b"}, "finish_reason": "stop"}]}'
    with ScriptedServer(rtk.testing.Reply(body=raw)) as server:
        lm = over(server)
        assert lm(QUESTION) == lm(QUESTION) == ["a?b"]
        assert server.count == 1


# --- the end of the process ---

HASTY = """
import asyncio, sys
import rtk
from rtk.models import writing

writing._APART = 3600.0  # what comes after the first sample waits for its commit as long as there is time


async def hasty(lm):
    await lm.acall("first")
    asked = asyncio.create_task(lm.acall("last"))
    while not lm._source.drawer(keep=True).desk.writer._waiting:
        await asyncio.sleep(0.001)
    raise KeyboardInterrupt


lm = rtk.LM("openai/scripted", api_base=sys.argv[1], api_key="-", store=sys.argv[2])
asyncio.run(hasty(lm))
"""


def test_a_process_that_ends_before_a_commit_loses_nothing(tmp_path):
    """What had come when it was interrupted is stored before it goes, late as that is for threads."""
    with ScriptedServer(numbered()) as server:
        command = [sys.executable, "-c", HASTY, server.url, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert "KeyboardInterrupt" in done.stderr
        with rtk.SampleStore(tmp_path) as store:
            assert {store.read(address.key, "0")[0].text for address in store.addresses()} == {"reply 0", "reply 1"}
