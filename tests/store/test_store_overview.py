"""What a store holds, counted; its requests removed; its room given back."""

import pytest

from rtk.errors import StoreError
from rtk.samples import Address, Request, Sample, Usage
from rtk.store import SampleStore, Tally, Verified

DRAWN = "2025-01-01T00:00:00.000+00:00"
IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}


@pytest.fixture
def store(tmp_path):
    return SampleStore(tmp_path / "store")


def put(store, content, count=1, **given):
    """Samples of a request, with what they cost; its key."""
    request = Request.of("m", [{"role": "user", "content": content}], {"temperature": 1.0})
    fields = {"text": "t", "usage": Usage(10, 5, 0.01, 1.0), "drawn_at": DRAWN, **given}
    store.write(request, [Sample(Address(request.key, "0", index), **fields) for index in range(count)])
    return request.key


def test_each_request_is_counted(store):
    """Samples, tokens, dollars, ingested ones, unknown prices and the last moment, request by request, by key."""
    keys = {put(store, "a", 3), put(store, "b", 2, usage=Usage(1, 2, None), ingested=True, drawn_at="")}
    found = {held.said: held for held in store.overview()}
    assert [held.key for held in store.overview()] == sorted(keys)
    assert found["a"].tally == Tally(
        1, 3, 0, 0, 30, 15, 0.03, 0, "2025-01-01T00:00:00.000+00:00", found["a"].tally.size
    )
    assert found["b"].tally == Tally(1, 2, 2, 0, 2, 4, 0.0, 2, "", found["b"].tally.size)
    assert (found["a"].model, found["a"].tally.tokens) == ("m", 45)


def test_tallies_add_up(store):
    """The tally of all is the sum of each, its moment the last one's."""
    put(store, "a", 3)
    put(store, "b", 2, drawn_at="2025-02-01T00:00:00.000+00:00")
    total = Tally()
    for held in store.overview():
        total.add(held.tally)
    assert (total.requests, total.samples, total.tokens) == (2, 5, 75)
    assert total.drawn_at == "2025-02-01T00:00:00.000+00:00"


def test_more_than_a_page_of_samples_is_counted(store):
    """Requests whose samples lie on several pages are counted once."""
    keys = sorted([put(store, "a", 700), put(store, "b", 1), put(store, "c", 600)])
    assert [held.key for held in store.overview()] == keys
    assert sum(held.tally.samples for held in store.overview()) == 1301


def test_a_beginning_of_a_key_chooses(store):
    """Only requests whose keys begin so are counted."""
    keys = [put(store, str(number)) for number in range(20)]
    assert [held.key for held in store.overview(keys[3])] == [keys[3]]
    assert [held.key for held in store.overview(keys[3][:1])] == sorted(key for key in keys if key[0] == keys[3][0])
    assert list(store.overview("no key")) == []


def test_damage_is_counted_and_hides_nothing(store):
    """A sample that cannot be read, and a request that is lost, leave the others to be counted."""
    key = put(store, "a", 3)
    store._database.set(f"sample:{key}:0:{1:010d}", "{")
    store._database.set(f"request:{key}", "{")
    (held,) = store.overview()
    assert (held.key, held.model, held.said) == (key, "", "")
    assert (held.tally.samples, held.tally.damaged) == (2, 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("plain", "plain"),
        (
            [{"type": "text", "text": "what is"}, {"type": "image_url", "image_url": {"url": "data:"}}],
            "what is [image_url]",
        ),
        (None, ""),
    ],
)
def test_what_was_asked_is_the_text_of_the_last_message(store, content, said):
    """Parts that are no text are named by their kind."""
    put(store, content)
    assert next(store.overview()).said == said


def test_several_requests_are_removed_together(store):
    """Their samples are gone, and the others are there."""
    keys = [put(store, str(number), 2) for number in range(3)]
    assert store.remove(*keys[:2]) == 4
    assert store.remove() == 0
    assert [request.key for request in store.requests()] == keys[2:]
    assert store.count() == 2


def test_the_room_of_what_was_removed_is_given_back(store):
    """After most of it is removed the file shrinks; where little is free it is left alone."""
    keys = [put(store, str(number), 5, text="long " * 2000) for number in range(30)]
    store.remove(keys[0])
    before = store.size
    assert store.compact() == 0
    store.remove(*keys[1:-1])
    assert store.compact() > 0
    assert store.size < before / 4
    assert store.verify() == Verified(1, 5)


def test_verifying_tells_how_far_it_is(store):
    """Progress is told entry by entry, up to all there are."""
    put(store, "a", 3)
    told = []
    store.verify(told.append)
    assert told == [1, 2, 3, 4]


def test_a_store_may_have_to_be_there(tmp_path):
    """With make=False a folder without one is an error, and nothing is made."""
    with pytest.raises(StoreError, match="there is no store"):
        SampleStore(tmp_path / "none", make=False)
    assert not (tmp_path / "none").exists()
    made = SampleStore(tmp_path / "some")
    assert SampleStore(made.path, make=False).size > 0
