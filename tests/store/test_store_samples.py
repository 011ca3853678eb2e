"""Reading and writing samples through the public store."""

import copy
import pickle
import sqlite3
import threading
import warnings
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtk.errors import ServedModelChanged, StoreError, UnsupportedParameter
from rtk.samples import Address, Request, Sample, Stream, Usage, addresses, readable
from rtk.store import DamagedSample, SampleStore


def a_request(prompt="2+2?", **options):
    return Request.of("openai/small", [{"role": "user", "content": prompt}], {"temperature": 0.7, **options})


def drawn(request, count, stream=None, start=0, text="text", **more):
    where = addresses(request, stream or Stream(), start, count)
    return [Sample(address, f"{text} {address.index}", **more) for address in where]


def altered(store, query, *values):
    """Change the database behind the store's back."""
    with closing(sqlite3.connect(store.path / "cache.db")) as connection, connection:
        assert connection.execute(query, values).rowcount == 1


@pytest.fixture
def store(tmp_path):
    with SampleStore(tmp_path / "store") as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with SampleStore(tmp_path_factory.mktemp("shared")) as opened:
        yield opened


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
json_values = st.recursive(st.none() | st.booleans() | st.integers() | texts, lambda inner: st.lists(inner, max_size=3))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts, reasoning=st.none() | texts, prompt=texts, logprobs=json_values, seconds=st.floats(0, 1e6))
def test_any_text_comes_back_as_it_was(shared, text, reasoning, prompt, logprobs, seconds):
    """A sample of arbitrary text, reasoning and log-probabilities is read back equal, and so is its request."""
    request = Request.of(
        "m", [{"role": "user", "content": prompt}], {"temperature": 1}, {"case": [text, str(logprobs)]}
    )
    stream = Stream(1, (0, 2))
    address = Address(request.key, str(stream), 3)
    sample = Sample(address, text, Usage(1, 2, None, seconds), reasoning=reasoning, logprobs=logprobs)
    if 3 not in shared.read(request.key, stream):
        assert shared.write(request, [sample]) == [sample]
        assert shared.read(request.key, stream) == {3: sample}
    assert shared.read(request.key, stream)[3].text == text
    assert shared.request(request.key) == request


@pytest.mark.parametrize(
    "text", ["", "\0", "a\0b", "é" * 40_000, "x" * 3_000_000, "\r\n\u2028", "'; DROP TABLE Cache;--"]
)
def test_awkward_texts_stay_inside_the_database(store, text):
    """Empty, long and NUL-holding texts are stored in the row itself: no file appears beside the database."""
    request = a_request()
    [sample] = drawn(request, 1)
    written = Sample(sample.address, text)
    store.write(request, [written])
    assert store.read(request.key, "0") == {0: written}
    assert {file.name for file in store.path.iterdir()} <= {"cache.db", "cache.db-wal", "cache.db-shm"}


def test_text_that_is_not_unicode_is_refused_and_nothing_is_stored(store):
    """A lone surrogate raises; `readable` is what makes such text fit."""
    request = a_request()
    good, bad = drawn(request, 2)
    bad = Sample(bad.address, "\ud800")
    with pytest.raises(UnsupportedParameter):
        store.write(request, [good, bad])
    assert store.count() == 0
    store.write(request, [Sample(bad.address, readable(bad.text))])
    assert store.read(request.key, "0")[1].text == "?"


def test_the_first_writer_wins(store):
    """A second sample for an address is not stored, and its writer is given the first."""
    request = a_request()
    first = drawn(request, 2, text="first")
    later = drawn(request, 3, text="later")
    store.write(request, first)
    assert store.write(request, later) == [*first, later[2]]
    assert store.read(request.key, "0") == {0: first[0], 1: first[1], 2: later[2]}


def test_one_address_given_several_times_is_one_sample(store):
    """At temperature 0 eight samples are one: the first is stored and all eight are that one."""
    request = a_request(temperature=0)
    kept = store.write(request, drawn(request, 8))
    assert len(kept) == 8
    assert len(set(kept)) == 1
    assert store.count() == 1


def test_what_write_returns_is_what_read_gives(store):
    """Values that JSON changes (a tuple to a list) are changed at once, so that a replay is the run."""
    request = a_request()
    [sample] = drawn(request, 1, logprobs={"tokens": ("a", "b")})
    assert store.write(request, [sample]) == [store.read(request.key, "0")[0]]


def test_reading_gives_one_stream_of_one_request_in_order(store):
    """Samples of other requests, and of streams whose paths begin alike, do not mix in; order is that of indices."""
    one, other = a_request("one"), a_request("other")
    streams = [Stream(), Stream(1), Stream(10), Stream(0, (1,)), Stream(0, (1, 2)), Stream(0, (), 7), Stream(1, (), 7)]
    for request in (one, other):
        for stream in streams:
            store.write(request, reversed(drawn(request, 12, stream, text=f"{request.messages} {stream}")))
    for stream in streams:
        found = store.read(one.key, stream)
        assert list(found) == list(range(12))
        assert all(sample.address == Address(one.key, str(stream), index) for index, sample in found.items())
    assert store.count() == len(set(store.addresses())) == 2 * 12 * len(streams)


@pytest.mark.parametrize(
    ("indices", "expected"),
    [(range(3), [0, 1, 2]), ([5, 2], [2, 5]), ([2, 99], [2]), ([], []), ([-1, 4], [4]), (iter([9, 10]), [9]),
     (None, [*range(10)])],
)  # fmt: skip
def test_reading_some_indices_gives_those(store, indices, expected):
    """Only wanted indices come back, whatever their order; absent ones are simply missing."""
    request = a_request()
    store.write(request, drawn(request, 10))
    assert list(store.read(request.key, Stream(), indices)) == expected


def test_what_lies_between_is_not_given(store):
    """Also where no more is there than was asked for."""
    request = a_request()
    store.write(request, drawn(request, 2))
    assert list(store.read(request.key, Stream(), [0, 2])) == [0]
    assert list(store.read(request.key, Stream(), [1, 10**9, 10**10, -1])) == [1]


def test_an_unknown_request_has_no_samples(store):
    """Nothing stored reads as an empty dict and as no request."""
    request = a_request()
    assert store.read(request.key, "0") == {}
    assert store.request(request.key) is None
    assert store.count() == 0
    assert list(store.requests()) == list(store.addresses()) == []


def test_many_requests_are_listed_page_by_page_while_others_write(store):
    """Iterating sees every request and address once, though the caller writes between two of them."""
    requests = [a_request(str(number)) for number in range(600)]
    for request in requests:
        store.write(request, drawn(request, 1))
    seen = []
    for request in store.requests():
        seen.append(request)
        if len(seen) == 5:
            store.write(requests[0], drawn(requests[0], 3))
    assert {request.key for request in seen} == {request.key for request in requests}
    assert len(seen) == 600
    assert len(list(store.addresses())) == store.count() == 602


def test_another_served_model_is_refused_and_names_revision(store):
    """A new sample from a model of another name raises, stores nothing, and the mend is `revision=`."""
    request = a_request()
    store.write(request, drawn(request, 1, served_model="small-2024"))
    with pytest.raises(ServedModelChanged, match="small-2024") as caught:
        store.write(request, drawn(request, 3, stream=Stream(1), served_model="small-2025"))
    assert "revision=" in caught.value.mend
    assert store.count() == 1


def test_a_served_model_is_compared_only_where_both_are_known(store):
    """Samples without a served model fit any other, and samples that are not stored are not compared."""
    request = a_request()
    store.write(request, drawn(request, 1))
    store.write(request, drawn(request, 2, served_model="a"))
    store.write(request, drawn(request, 3))
    kept = store.write(request, drawn(request, 2, served_model="b"))
    assert [sample.served_model for sample in kept] == [None, "a"]


def test_one_write_of_two_served_models_is_refused(store):
    """Two names in one write are two models, too."""
    request = a_request()
    first, second = drawn(request, 2)
    with pytest.raises(ServedModelChanged):
        store.write(
            request, [Sample(first.address, "", served_model="a"), Sample(second.address, "", served_model="b")]
        )
    assert store.count() == 0


def test_a_sample_of_another_request_is_refused(store):
    """A sample is written with its own request or not at all."""
    with pytest.raises(StoreError, match="none of"):
        store.write(a_request("one"), drawn(a_request("other"), 1))
    assert store.write(a_request(), []) == []
    assert list(store.requests()) == []


@pytest.mark.parametrize(
    "address", [("k", "0", 0), (None, "0:1", 0), (None, "", 0), (None, "0", -1), (None, "0", 10**10)]
)
def test_what_is_no_address_is_refused(store, address):
    """Keys, streams and indices that no request has never reach the database."""
    request = a_request()
    key, stream, index = address
    with pytest.raises(StoreError, match="no address"):
        store.write(request, [Sample(Address(key or request.key, stream, index), "")])


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE Cache SET value = 'not JSON' WHERE key = ?",
        "UPDATE Cache SET value = replace(value, 'text 1', 'text 9') WHERE key = ?",
        "UPDATE Cache SET value = (SELECT value FROM Cache WHERE key LIKE 'sample:%:0000000002') WHERE key = ?",
        "UPDATE Cache SET value = CAST(x'ff00fe' AS TEXT) WHERE key = ?",
        "UPDATE Cache SET value = '[]' WHERE key = ?",
        "UPDATE Cache SET value = '' WHERE key = ?",
    ],
)
def test_a_damaged_sample_is_reported_once_counts_as_absent_and_is_replaced(store, damage):
    """Bad JSON, a bad checksum, another address inside, bad UTF-8: one warning, no sample, room for a new one."""
    request = a_request()
    written = store.write(request, drawn(request, 3))
    altered(store, damage, f"sample:{request.key}:0:0000000001")
    with pytest.warns(DamagedSample, match="0000000001"):
        assert store.read(request.key, "0") == {0: written[0], 2: written[2]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(store.read(request.key, "0")) == [0, 2]
        again = store.write(request, drawn(request, 3, text="again"))
    assert [sample.text for sample in again] == ["text 0", "again 1", "text 2"]
    assert store.read(request.key, "0") == dict(enumerate(again))


def test_samples_of_several_requests_are_read_together(store):
    """What is missing is not among them, nor what is damaged, which is reported."""
    first, second = a_request("2+2?"), a_request("3+3?")
    written = store.write(first, drawn(first, 2)) + store.write(second, drawn(second, 3, Stream(1)))
    altered(store, "UPDATE Cache SET value = '[]' WHERE key = ?", f"sample:{second.key}:1:0000000002")
    wanted = [*(sample.address for sample in written), *addresses(first, Stream(), 7, 1)]
    with pytest.warns(DamagedSample, match="0000000002"):
        found = store.read_each(wanted)
    assert found == {sample.address: sample for sample in written[:-1]}
    assert store.read_each([]) == {}


def test_a_damaged_request_is_reported_and_replaced(store):
    """A request that no longer matches its key counts as absent until the next write of its samples."""
    request = a_request()
    store.write(request, drawn(request, 1))
    altered(store, "UPDATE Cache SET value = replace(value, '2+2', '3+3') WHERE key = ?", f"request:{request.key}")
    with pytest.warns(DamagedSample, match="does not match"):
        assert store.request(request.key) is None
    assert list(store.requests()) == []
    store.write(request, drawn(request, 2))
    assert store.request(request.key) == request


def test_a_key_that_is_no_address_is_reported(store):
    """A damaged row key hides neither its neighbours nor itself."""
    request = a_request()
    store.write(request, drawn(request, 2))
    altered(store, "UPDATE Cache SET key = key || 'x' WHERE key = ?", f"sample:{request.key}:0:0000000000")
    with pytest.warns(DamagedSample, match="no address"):
        assert [address.index for address in store.addresses()] == [1]


def test_threads_share_one_store(store):
    """Eight threads writing the same addresses agree on every sample."""
    request = a_request()
    results = {}

    def work(name):
        results[name] = [store.write(request, drawn(request, 5, start=start, text=name)) for start in range(0, 40, 5)]
        store.close()

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = list(store.read(request.key, "0").values())
    assert len(results) == 8
    assert all([sample for batch in batches for sample in batch] == stored for batches in results.values())


def test_a_copied_module_keeps_its_store(store):
    """DSPy deep-copies modules: the store in them stays the same object."""
    assert copy.deepcopy({"store": store})["store"] is store
    assert copy.copy(store) is store


def test_a_store_travels_to_another_process_as_its_path(store):
    """Pickling a store (to a worker) carries the path; the other end opens it again."""
    request = a_request()
    store.write(request, drawn(request, 1))
    with pickle.loads(pickle.dumps(store)) as again:
        assert again.path == store.path
        assert again.read(request.key, "0") == store.read(request.key, "0")


def test_a_closed_store_opens_again_and_shows_its_path_only(store):
    """Closing gives the connection back; the next use opens it; the repr is the path."""
    request = a_request()
    store.write(request, drawn(request, 1))
    store.close()
    assert store.count() == 1
    assert repr(store) == f"SampleStore({str(store.path)!r})"
