"""Requests, streams, addresses and samples: one form, one key, one place for each."""

import json

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.errors import StoreError, UnsupportedParameter
from rtk.samples import Address, Request, Sample, Stream, Usage, addresses, canonical, current_stream, replicate

MESSAGES = [{"role": "user", "content": "2 + 2?"}]
names = st.text(max_size=4)  # shorter than the names of schemas and tools, in which the order of keys says something
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
paths = st.lists(st.integers(0, 4), max_size=4)


def request(**options):
    return Request.of("m", MESSAGES, {"temperature": 0.7, **options})


def trimmed(path):
    path = list(path)
    while path and path[-1] == 0:
        path.pop()
    return tuple(path)


def shuffled(value, rng):
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        return {key: shuffled(item, rng) for key, item in items}
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


@given(values, st.randoms())
def test_the_order_of_keys_never_changes_canonical_json(value, rng):
    """Two values that differ in the order of their keys alone have one text."""
    try:
        text = canonical(value)
    except UnsupportedParameter:  # text that is no valid Unicode
        return
    assert canonical(shuffled(value, rng)) == text


@pytest.mark.parametrize("field", ["response_format", "tools", "extra_body"])
def test_the_order_of_a_schema_s_properties_is_part_of_a_request(field):
    """A model fills in the properties of a schema as they stand, so another order is another request."""
    one, other = ({"properties": {name: {"type": "string"} for name in order}} for order in ("ab", "ba"))
    assert request(**{field: one}).key != request(**{field: other}).key


def test_one_and_one_point_zero_are_one_request():
    """A temperature of 1 is one of 1.0."""
    assert request(temperature=1).key == request(temperature=1.0).key


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object(), "\ud800"])
def test_what_json_cannot_carry_is_refused(bad):
    """Nothing reaches a request that would not come back from a disk."""
    with pytest.raises(UnsupportedParameter):
        request(extra=bad)


@pytest.mark.parametrize(
    "field", ["api_key", "api_base", "headers", "timeout", "num_retries", "n", "rollout_id", "cache", "base_url"]
)
def test_connection_and_counts_are_no_part_of_a_request(field):
    """Neither keys, endpoints and headers nor n and rollout_id change or enter a request."""
    assert request(**{field: "secret-value"}) == request()
    assert "secret-value" not in request(**{field: "secret-value"}).body


@pytest.mark.parametrize("changed", [{"temperature": 0.8}, {"top_p": 0.5}, {"max_tokens": 5}, {"stop": ["x"]}])
def test_what_changes_the_distribution_changes_the_key(changed):
    """Every sampling parameter is part of the request."""
    assert request(**changed).key != request().key


def test_a_request_names_its_temperature():
    """Without a temperature there is no request: DSPy's own default depends on n."""
    with pytest.raises(UnsupportedParameter):
        Request.of("m", MESSAGES, {})


def test_a_stored_request_comes_back_as_it_was():
    """Parsing a body gives the same request, and anything else is refused."""
    assert Request.parse(request(top_p=0.5).body) == request(top_p=0.5)
    for damaged in ("{}", "[]", "nothing", json.dumps(request().value, indent=1)):
        with pytest.raises(StoreError):
            Request.parse(damaged)


@given(paths, paths)
def test_streams_are_equal_exactly_where_their_paths_are_but_for_trailing_zeros(a, b):
    """Rule 5: one number for every level entered, outermost first, trailing zeros dropped."""
    assert (str(Stream(0, tuple(a))) == str(Stream(0, tuple(b)))) == (trimmed(a) == trimmed(b))


def test_a_rollout_in_a_rollout_is_not_the_next_rollout():
    """Rule 5: 0/0/1 is another stream than 0/1."""
    stream = Stream()
    assert str(stream.enter(0).enter(1)) == "0/0/1"
    assert str(stream.enter(1)) == "0/1"


@given(paths, st.integers(1, 9), st.integers(0, 3))
def test_dspys_rollout_id_is_a_stream_of_its_own(path, rollout_id, number):
    """Rule 6: a rollout_id above 0 names another stream; none and 0 are the parent's."""
    stream = Stream(number, tuple(path))
    assert stream.apart(None) == stream.apart(0) == stream
    assert str(stream.apart(rollout_id)) == f"{stream}~{rollout_id}"


def test_a_replicate_is_the_first_number_and_ends_with_its_block():
    """Rule 5: replicates are streams apart, and the block restores what was before."""
    with replicate(3):
        assert str(current_stream().enter(2)) == "3/2"
    assert str(current_stream()) == "0"


def test_a_replicate_travels_with_dspys_context():
    """Threads of DSPy's Parallel draw in the replicate they were started in."""

    class Where(dspy.Module):
        def forward(self, i):
            return dspy.Prediction(stream=str(current_stream()))

    with replicate(2):
        found = dspy.Parallel(num_threads=2, disable_progress_bar=True)([(Where(), {"i": i}) for i in range(3)])
    assert {one.stream for one in found} == {"2"}


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "1"])
def test_a_replicate_is_a_whole_number(wrong):
    """Anything but a number from 0 on is refused."""
    with pytest.raises(ValueError, match="whole number"), replicate(wrong):
        pass


@given(paths, st.integers(0, 20), st.integers(1, 20))
def test_at_temperature_zero_all_addresses_are_one(path, start, count):
    """Rule 7: stream and index collapse to one sample, given as often as asked."""
    greedy = request(temperature=0)
    assert addresses(greedy, Stream(0, tuple(path)), start, count) == [Address(greedy.key, "0", 0)] * count


@given(st.integers(0, 2**31 - 1), paths, paths, st.integers(0, 99), st.integers(0, 99))
def test_seeds_differ_with_stream_and_index(seed, a, b, i, j):
    """Rule 7: a seed belongs to one (seed, stream, index) and is the same every time."""
    one, other = (Address("k", str(Stream(0, tuple(path))), index) for path, index in ((a, i), (b, j)))
    assert one.seed(seed) == Address("another", one.stream, one.index).seed(seed)
    assert (one.seed(seed) == other.seed(seed)) == ((one.stream, one.index) == (other.stream, other.index))
    assert 0 <= one.seed(seed) < 2**31


@given(st.text(st.characters(codec="utf-8")), st.none() | st.floats(0, 10), st.integers(0, 99))
def test_a_sample_comes_back_from_its_text(text, dollars, index):
    """Writing and reading a sample changes nothing."""
    sample = Sample(Address("k", "0/1", index), text, Usage(3, 4, dollars, 0.25), finish_reason="stop")
    assert Sample.from_json(sample.to_json()) == sample


@pytest.mark.parametrize(("old", "new"), [("stop", "length"), ('"schema":1', '"schema":9'), ("hello", "help!")])
def test_a_changed_sample_is_not_believed(old, new):
    """A sample that does not match its checksum or schema is refused."""
    text = Sample(Address("k", "0", 0), "hello", finish_reason="stop").to_json()
    with pytest.raises(StoreError):
        Sample.from_json(text.replace(old, new))
