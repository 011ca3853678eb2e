"""A recording from a stranger, changed at random: it is sound, or there is one error; nothing in it runs."""

import copy
import gzip
import hashlib
import json
import re
import sys
from contextlib import contextmanager, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded import REQUEST, drawn, note

import rtk
from rtk.errors import RecordingError
from rtk.samples import Address, Missing, Request, Sample, Stream, Usage, addresses, canonical, checksum
from rtk.store import SampleStore, current_recording, verified

pytestmark = pytest.mark.usefixtures("nothing_in_force")
MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

OTHER = Request.of("openai/größer", [{"role": "user", "content": "π?"}], {"temperature": 1, "stop": ["\n"]})
RICH = Sample(
    addresses(OTHER, Stream(2, (0, 1)), 3, 1)[0],
    'a "text"\n\u2028 with 😀 and \\u0000',
    Usage(12, 34, 0.00025, 1.5, 20, True),
    reasoning="so",
    finish_reason="length",
    logprobs={"content": [{"token": "a", "logprob": -0.25, "top_logprobs": []}]},
    tool_calls=[{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
    served_model="größer-2",
    drawn_at="2026-01-01T00:00:00.000+00:00",
    versions=(("dspy", "3"), ("rtk", "1")),
    ingested=True,
)
SAMPLES = [*drawn(3, served_model="small"), *drawn(2, 0, Stream(1)), RICH]


def lines_of(folder):
    """The lines of a recording in which there is one of everything."""
    recording = rtk.recording(folder / "whole.jsonl")
    note(recording, [one for one in SAMPLES if one is not RICH])
    recording.note(OTHER, RICH, "JSONAdapter")
    recording.note(REQUEST, Missing(Address(REQUEST.key, "0", 3), "timeout"), "ChatAdapter")
    recording.note_stop(REQUEST, Address(REQUEST.key, "0", 5), 2.5, True, [7, 9], "ChatAdapter")
    recording.stop()
    return (folder / "whole.jsonl").read_bytes().splitlines(keepends=True)


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    found = lines_of(tmp_path_factory.mktemp("whole"))
    assert len(found) == 1 + 2 + len(SAMPLES) + 2
    return found


RUNS = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")
_seen = None  # events while somebody watches; an audit hook stays for ever


def _hear(event, _):
    if _seen is not None and event in RUNS:
        _seen.append(event)


sys.addaudithook(_hear)


@contextmanager
def nothing_runs():
    global _seen
    _seen = []
    try:
        yield
        assert _seen == []
    finally:
        _seen = None


def opened(path):
    """The samples that a replay gives of those known, by address; None where the file is refused, as it should be."""
    found = error = None
    try:
        with nothing_runs(), rtk.recording(path, mode="replay") as replay:
            found = replay.find([one.address for one in SAMPLES])
    except RecordingError as refused:
        error = refused
    assert current_recording() is None
    if error is not None:
        assert type(error) is RecordingError
        assert error.mend
        assert str(path) in str(error)
        assert len(str(error)) < 600
    return found


def is_sound(path, found):
    """What a replay takes, a store takes; and what that exports is a recording again."""
    store = SampleStore(path.with_name(f"store-{path.stat().st_mtime_ns}"))
    with store:
        whole, merged = verified(path), store.merge(path)
        assert store.verify().damaged == ()
        assert merged.added + len(merged.conflicts) + len(merged.other_models) <= whole.samples
        assert verified(store.export(path.with_name("again.jsonl"))).samples == store.count()
    assert all(Sample.from_json(one.to_json()) == one for one in found.values() if isinstance(one, Sample))


# --- bytes and lines ---


@st.composite
def shuffled(draw, count):
    """Some of the numbers below `count`, in some order, a few of them twice."""
    order = list(range(count))
    for _ in range(draw(st.integers(1, 4))):
        at, other = draw(st.integers(0, len(order) - 1)), draw(st.integers(0, len(order) - 1))
        how = draw(st.sampled_from(["drop", "double", "swap"]))
        if how == "drop" and len(order) > 1:
            del order[at]
        elif how == "double":
            order.insert(other, order[at])
        else:
            order[at], order[other] = order[other], order[at]
    return order


NOISE = st.binary(max_size=8) | st.sampled_from(
    [b"\xef\xbb\xbf", b"\r\n", b"\n", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b'"\\ud800"', b"NaN", b"1e999", b"[" * 3000,
     b"<<<<<<< HEAD\n", b"\x80\x04c", b"\x1f\x8b\x08", b"9" * 5000]
)  # fmt: skip

TOKENS = [
    b'"text":1,', b'"usage":[1,2,3,4],', b'"usage":[-1,0,null,0],', b'"schema":2,', b'"index":0,', b'"ingested":1,',
    b'"drawn_at":null,', b'"versions":[],', b'"logprobs":1e999,', b'"tool_calls":[1],', b'"checksum":"",', b" ", b"1",
    b"0", b"-", b".5", b"e9", b'\\"', b"\\u0000", b"\\ud83d", b"[", b"]", b"{", b"}", b"null",
]  # fmt: skip


@st.composite
def noisy(draw, whole):
    """Bytes with noise in a few places, and perhaps without their end."""
    changed = whole
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(changed)))
        changed = changed[:at] + draw(NOISE) + changed[at + draw(st.integers(0, 12)) :]
    return changed[: draw(st.just(len(changed)) | st.integers(0, len(changed)))]


@MANY
@given(st.data())
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_noise_and_lines_in_disorder_are_refused_or_harmless(tmp_path, lines, name, data):
    """Bytes changed, added and lost, lines moved, doubled and dropped: each sample that is given is as it was."""
    order = data.draw(shuffled(len(lines)))
    whole = b"".join(lines[i] for i in order)
    packed = name.endswith("gz") and data.draw(st.booleans())
    noise = data.draw(noisy(gzip.compress(whole, mtime=0) if packed else whole))
    path = tmp_path / name
    path.write_bytes(noise if packed or not name.endswith("gz") else gzip.compress(noise, mtime=0))
    found = opened(path)
    if found is not None:
        assert [one for one in found.values() if isinstance(one, Sample) and one not in SAMPLES] == []
        is_sound(path, found)


SIGNED = re.compile(rb'(?P<before>\{"sample":)(?P<head>.*?)"checksum":"[^"]*",(?P<rest>.*)(?P<end>\}\n)')


def signed_as_written(line):
    """A line whose checksum fits the very bytes around it, whatever they are."""
    found = SIGNED.fullmatch(line)
    if found is None:
        return line
    checksum_ = hashlib.sha256(found["head"] + found["rest"]).hexdigest().encode()
    return found["before"] + found["head"] + b'"checksum":"' + checksum_ + b'",' + found["rest"] + found["end"]


@MANY
@given(st.data())
def test_noise_that_a_stranger_signed_is_refused_or_sound(tmp_path, lines, data):
    """Bytes changed within a line, and the checksum made to fit them: what is taken can be kept and written again."""
    changed = list(lines)
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.integers(0, len(lines) - 1))
        at = data.draw(st.integers(0, len(changed[number]) - 2))
        end = min(at + data.draw(st.integers(0, 6)), len(changed[number]) - 1)
        noise = data.draw(st.sampled_from(TOKENS) | NOISE)
        changed[number] = signed_as_written(changed[number][:at] + noise + changed[number][end:])
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(changed))
    found = opened(path)
    if found is not None:
        is_sound(path, found)


# --- values of other types and kinds, signed anew where a checksum would tell ---

ODD = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 1.5, -0.5, 2, 3, 10**20, 10**400, 1e308, "", "0", "x", "\ud800", "NaN", [], [[]], {},
         {"a": {}}, ["0"] * 3, [0, 0, 0], "../../etc", REQUEST.key, OTHER.value, [REQUEST.key, "0", 1], 2**53, 2**31]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
)  # fmt: skip


def places(value, at=()):
    """The paths of all that is in a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*at, key)
        yield from places(item, (*at, key))


def changed_at(value, at, how, odd):
    holder = value
    for key in at[:-1]:
        holder = holder[key]
    if how == "drop":
        holder.pop(at[-1]) if isinstance(holder, list) else holder.pop(at[-1], None)
    elif how == "add" and isinstance(holder, dict):
        holder[str(odd)[:20]] = odd
    else:
        holder[at[-1]] = odd


def signed(line):
    """A line whose checksum fits what it says, where it has one."""
    sample = line.get("sample")
    if isinstance(sample, dict):
        rest = {name: one for name, one in sample.items() if name != "checksum"}
        with suppress(rtk.RTKError):
            line = {"sample": {**rest, "checksum": checksum(canonical(rest))}}
    return line


@MANY
@given(st.data())
def test_values_of_any_kind_anywhere_are_refused_or_sound(tmp_path, lines, data):
    """Also where a stranger computed the checksum anew: what is taken is whole, and can be kept and written again."""
    values = [json.loads(line) for line in lines]
    for _ in range(data.draw(st.sampled_from([1, 1, 1, 2]))):
        number = data.draw(st.integers(0, len(values) - 1))
        there = list(places(values[number]))
        at = data.draw(st.sampled_from(there)) if there else ("request",)
        how = data.draw(st.sampled_from(["change", "drop", "add"]))
        changed_at(values[number], at, how, copy.deepcopy(data.draw(ODD)))
    if data.draw(st.booleans()):
        values = [signed(value) for value in values]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values))
    found = opened(path)
    if found is not None:
        is_sound(path, found)


def test_what_the_fuzz_starts_from_is_whole(tmp_path, lines):
    """As it is, all of it comes back; so does each line laid out anew, since the checksum is of what it says."""
    for name, content in (
        ("a", b"".join(lines)),
        ("b", b"".join(json.dumps(json.loads(x)).encode() + b"\r\n" for x in lines)),
    ):
        (tmp_path / f"{name}.jsonl").write_bytes(content)
        assert opened(tmp_path / f"{name}.jsonl") == {one.address: one for one in SAMPLES}
    assert str(verified(tmp_path / "a.jsonl")) == "6 samples of 2 requests, 1 ingested, 1 did not come, 1 deadlines"
