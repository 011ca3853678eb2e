"""The stored form of a sample: what is damaged, and what is of another type, is never taken for one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.errors import NewerStore, StoreError
from rtk.samples import Address, Sample, Usage, canonical, checksum

KEY = "ab" * 32
SAMPLE = Sample(
    Address(KEY, "0/1", 7), 'say "checksum":"no", Füße \n{"text":"b"}', Usage(3, 40, 0.25, 1.5), reasoning="why",
    finish_reason="stop", logprobs=[{"token": "a", "logprob": -1e-07}], served_model="small", drawn_at="2026-11-25",
    versions=(("dspy", "3.4"), ("rtk", "1")),
)  # fmt: skip
STORED = SAMPLE.to_json().encode()

places = st.integers(0, len(STORED) - 1)


def signed(**changed):
    """A stored sample with other values, which its checksum is of."""
    value = {**json.loads(STORED), **changed}
    del value["checksum"]
    return json.dumps({**value, "checksum": checksum(canonical(value))})


@given(places, st.integers(0, 255))
def test_another_byte_anywhere_is_noticed(at, byte):
    """Whatever single byte of it another one replaces, the text is no sample any more."""
    changed = STORED[:at] + bytes([byte]) + STORED[at + 1 :]
    if changed == STORED:
        assert Sample.from_json(changed) == SAMPLE
        return
    with pytest.raises(StoreError):
        Sample.from_json(changed)


@given(places, places, st.binary(max_size=3))
def test_bytes_lost_or_added_are_noticed_or_change_nothing(start, end, between):
    """A part that is missing, or that came in, makes it no sample, unless it is a blank where JSON allows one."""
    changed = STORED[: min(start, end)] + between + STORED[max(start, end) :]
    try:
        assert Sample.from_json(changed) == SAMPLE
    except StoreError:
        assert changed != STORED


texts = st.text(st.characters(exclude_categories=["Cs"]))
amounts = st.floats(0, 2**52, exclude_max=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(
    texts, values, st.none() | texts, st.none() | amounts, amounts, st.none() | st.integers(0, 9), st.booleans(),
    st.integers(1, 3), st.dictionaries(texts, texts, max_size=3),
)  # fmt: skip
def test_a_sample_is_stored_as_canonical_json(text, value, maybe, dollars, seconds, reasoned, flag, choices, versions):
    """One text for one sample: what is written is `canonical` of what it says, the checksum in its place."""
    usage = Usage(1, 2, dollars, seconds, reasoned, flag, choices)
    sample = SAMPLE._replace(
        text=text, logprobs=value, tool_calls=value, reasoning=maybe, usage=usage, ingested=flag,
        versions=tuple(versions.items()),
    )  # fmt: skip
    said = json.loads(sample.to_json())
    assert sample.to_json() == canonical(said)
    assert said.pop("checksum") == checksum(canonical(said))
    assert Sample.from_json(sample.to_json()).to_json() == sample.to_json()


@pytest.mark.parametrize("indent", [None, 2])
def test_a_sample_laid_out_anew_is_the_same_sample(indent):
    """Other blanks, another order of keys and escaped letters are read as what they say."""
    value = dict(reversed(json.loads(STORED).items()))
    assert Sample.from_json(json.dumps(value, indent=indent)) == SAMPLE


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**70), 10**40])
def test_whole_numbers_of_any_size_come_back(number):
    """Also those that most readers of JSON make a fraction of."""
    sample = SAMPLE._replace(logprobs={"n": number}, tool_calls=[number])
    assert Sample.from_json(sample.to_json()) == sample


@pytest.mark.parametrize(
    "usage", [Usage(1, 2, None, 0.5, 7), Usage(1, 2, None, 0.5, 0, True), Usage(1, 2, 0.0, 0.5, estimated=True)]
)
def test_what_is_rare_comes_back(usage):
    """Tokens of reasoning, estimates, and samples that others drew."""
    sample = SAMPLE._replace(usage=usage, ingested=True)
    assert Sample.from_json(sample.to_json()) == sample


@pytest.mark.parametrize(
    "changed",
    [
        {"text": 5}, {"text": None}, {"address": [KEY, "0", 1.5]}, {"address": [KEY, "0"]}, {"address": [KEY, 0, 0]},
        {"usage": [1, 2, None]}, {"usage": [1, 2, None, 0.5, 5]}, {"usage": [-1, 2, None, 0.5]},
        {"usage": [True, 2, None, 0.5]}, {"usage": [1, 2, "free", 0.5]}, {"usage": [1, 2**53, None, 0.5]},
        {"usage": [1, 2, None, -0.5]}, {"reasoning": 1}, {"finish_reason": []}, {"served_model": {}},
        {"drawn_at": None}, {"versions": []}, {"versions": {"rtk": 1}}, {"reasoning_tokens": -1}, {"estimated": 1},
        {"ingested": "no"}, {"schema": 0}, {"schema": "1"},
    ],
)  # fmt: skip
def test_values_of_other_types_are_refused(changed):
    """Also where the checksum is of them: it proves no good will."""
    assert Sample.from_json(signed()) == SAMPLE
    with pytest.raises(StoreError) as caught:
        Sample.from_json(signed(**changed))
    assert next(iter(changed)) in str(caught.value)


@pytest.mark.parametrize("text", [signed(schema=2), signed(schema=2, text={"parts": []}), '{"schema":9}'])
def test_what_a_newer_rtk_wrote_is_told_apart_from_damage(text):
    """Whatever else about it is new: damage is written over, and this must not be."""
    with pytest.raises(NewerStore):
        Sample.from_json(text)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "[" * 100_000, STORED[:-1], b"\xff" + STORED, '"\ud800"'])
def test_what_is_no_sample_at_all_is_refused(text):
    """With an error of the store's, whatever the reader of JSON says."""
    with pytest.raises(StoreError):
        Sample.from_json(text)
