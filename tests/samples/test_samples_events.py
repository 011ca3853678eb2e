"""Events: who watches is told, and harms nobody."""

from rtk.events import SampleArrived, emit, hearers, watch, watchers
from rtk.samples import Address, Sample

EVENT = SampleArrived(Sample(Address("k", "0", 0), "hi"), reused=False)


def test_watchers_see_what_happens_inside_their_block():
    """A watcher is called inside its block and not outside."""
    seen = []
    with watch(seen.append):
        emit(EVENT, watchers())
    emit(EVENT, watchers())
    assert seen == [EVENT]


def test_who_listens_to_parts_is_told_apart_from_who_watches_samples():
    """Each block may have either, both or none; inner ones add to outer ones."""
    with watch(print, parts=repr), watch(parts=len), watch(str):
        assert (watchers(), hearers()) == ((print, str), (repr, len))
    assert (watchers(), hearers()) == ((), ())


def test_a_watcher_that_fails_harms_nobody(caplog):
    """Its fault is logged, and the next watcher is told."""
    seen = []

    def broken(event):
        raise ValueError("no")

    emit(EVENT, (broken, seen.append))
    assert seen == [EVENT]
    assert "a watcher failed" in caplog.text
