"""Results that somebody else wrote: what is not as we write it is refused, by name, and nothing of it is run."""

import base64
import hashlib
import json
import os
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_study import study

from rtk.errors import NewerStore, RTKError
from rtk.experiments.records.saving import load, save
from rtk.experiments.records.spool import ATTEMPTS, EXAMPLES, ROWS, STORIES, TABLES

EVERY = [table.file for table in TABLES]
OURS = {"use_dictionary": False, "store_schema": False}


@pytest.fixture
def folder(tmp_path):
    """A folder with results of ours."""
    save(study(), tmp_path / "study")
    return tmp_path / "study"


def said(folder):
    return json.loads((folder / "results.json").read_text())


def say(folder, found):
    (folder / "results.json").write_text(json.dumps(found))


def path_of(folder, table):
    return folder / said(folder)["tables"][table]["name"]


def sign(folder, table):
    """Make results.json fit a file that was changed, as who forges it would."""
    found, path = said(folder), path_of(folder, table)
    part = found["tables"][table]
    part["size"], part["sha256"] = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    say(folder, found)


def forge(folder, table, change, rows=None, **how):
    """Put another table in the place of one."""
    path = path_of(folder, table)
    made = change(pq.read_table(path))
    pq.write_table(made, path, **{**OURS, **how})
    found = said(folder)
    found["tables"][table]["rows"] = made.num_rows if rows is None else rows
    say(folder, found)
    sign(folder, table)


def refused(folder, named, *words):
    with pytest.raises(RTKError) as error:
        load(folder)
    assert str(named) in str(error.value)
    for word in words:
        assert word in str(error.value)
    return error.value


def column(name, change):
    """A table with one column changed."""
    return lambda table: table.set_column(table.column_names.index(name), name, change(table[name]))


@pytest.mark.parametrize("table", EVERY)
def test_a_file_cut_short_is_named(folder, table):
    """A table of which anything is missing is refused, and the error says which."""
    path = path_of(folder, table)
    whole = path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 25)):
        path.write_bytes(whole[:size])
        refused(folder, path, f"{size:,} bytes")


@pytest.mark.parametrize("table", EVERY)
def test_a_changed_file_is_named(folder, table):
    """A table of which one bit is another is refused, and the error says which."""
    path = path_of(folder, table)
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 25)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        refused(folder, path, "checksum")


@pytest.mark.parametrize("table", EVERY)
def test_a_damaged_file_with_a_fitting_checksum_is_named(folder, table):
    """A table that is damaged and signed anew is refused or read; it is never another kind of error."""
    path = path_of(folder, table)
    whole = path.read_bytes()
    for place in range(4, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        sign(folder, table)
        with suppress(RTKError):
            load(folder).rows()


@pytest.mark.parametrize("table", EVERY)
def test_a_missing_file_is_named(folder, table):
    """A table that is not there is named."""
    path_of(folder, table).unlink()
    with pytest.raises(RTKError, match="is missing") as error:
        load(folder)
    assert "copy the folder again" in error.value.mend


def test_a_folder_without_results_is_said_to_be_one(tmp_path):
    """A folder that is not there, or holds none, is an error that says what to name."""
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RTKError, match="no results in"):
            load(folder)


def test_links_are_not_followed(folder, tmp_path):
    """A table or results.json that is a link, also to the file itself elsewhere, is refused."""
    for path in (path_of(folder, ROWS.file), folder / "results.json"):
        elsewhere = tmp_path / path.name
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
        refused(folder, path, "link")
        path.unlink()
        elsewhere.rename(path)
    load(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_nothing_waits_for_a_pipe(folder):
    """A pipe in the place of a table is refused at once."""
    path = path_of(folder, ROWS.file)
    path.unlink()
    os.mkfifo(path)
    refused(folder, path)


@pytest.mark.parametrize("name", ["../rows-00000000.parquet", "/etc/passwd", "rows.parquet", "", "a/b.parquet", "."])
def test_files_outside_are_not_read(folder, name):
    """A name that leads out of the folder, or is none that we give, is refused."""
    found = said(folder)
    found["tables"][ROWS.file]["name"] = name
    say(folder, found)
    refused(folder, "results.json", "no name of a table")


def test_a_newer_version_is_left_as_it_is(folder):
    """Results of a newer rtk are neither read nor written over, and the error says what to do."""
    say(folder, {"schema": 2, "something": "new"})
    for act in (lambda: load(folder), lambda: save(study(), folder)):
        with pytest.raises(NewerStore, match="version 2") as error:
            act()
        assert "update" in error.value.mend
    assert said(folder) == {"schema": 2, "something": "new"}


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.pop("task"),
        lambda found: found.update(more=1),
        lambda found: found.update(asked="many"),
        lambda found: found.update(replicates=-1),
        lambda found: found.update(schema=0),
        lambda found: found["settings"].append(found["settings"][0]),
        lambda found: found["tables"].pop(ROWS.file),
        lambda found: found["tables"][ROWS.file].update(size=-1),
        lambda found: found["tables"][ROWS.file].update(pickle="x"),
    ],
)
def test_a_results_json_that_says_otherwise_is_named(folder, change):
    """Fields that are missing, unknown, of another type or impossible are refused."""
    found = said(folder)
    change(found)
    say(folder, found)
    refused(folder, "results.json")


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"schema":"1"}', b'{"schema":1,"about":' + b"[" * 100_000,
     b'{"schema":1}' + b" " * 2**24],
)  # fmt: skip
def test_a_results_json_that_is_none_is_named(folder, text):
    """Text that is no JSON, nested without end or endless is refused."""
    (folder / "results.json").write_bytes(text)
    refused(folder, folder / "results.json")


@pytest.mark.parametrize("held", ["pandas", "ARROW:schema", "any"])
def test_metadata_is_refused(folder, held):
    """What pandas or Arrow keep beside the columns, which some readers unpickle, is not read at all."""
    path = path_of(folder, EXAMPLES.file)
    table = pq.read_table(path)
    with pq.ParquetWriter(path, table.schema, **OURS) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({held: base64.b64encode(table.schema.serialize()).decode()})
    sign(folder, EXAMPLES.file)
    refused(folder, path, "metadata")


@pytest.mark.parametrize("store_schema", [True, False])
def test_types_that_bring_code_are_refused(folder, store_schema):
    """An Arrow extension type is refused, with or without its description."""
    extended = column("story", lambda one: pa.ExtensionArray.from_storage(pa.json_(), one.combine_chunks()))
    forge(folder, STORIES.file, extended, store_schema=store_schema)
    refused(folder, path_of(folder, STORIES.file), "metadata" if store_schema else "JSON")


@pytest.mark.parametrize(
    ("table", "change", "word"),
    [
        (ROWS.file, lambda table: table.drop_columns(["answer"]), "lacks the column 'answer'"),
        (ROWS.file, lambda table: table.append_column("more", table["at"]), "has a column 'more'"),
        (ROWS.file, lambda table: table.select(table.column_names[::-1]), "another order"),
        (ROWS.file, column("calls", lambda one: one.cast(pa.string())), "BYTE_ARRAY (STRING) and should hold INT64"),
        (ROWS.file, column("arm", lambda one: pa.nulls(len(one), pa.int64())), "'arm' has empty places"),
        (ROWS.file, column("arm", lambda one: pa.array([99] * len(one))), "'arm' is not among the 2"),
        (ROWS.file, column("replicate", lambda one: pa.array([-1] * len(one))), "'replicate' is not among the 1"),
        (ROWS.file, column("at", lambda one: pa.array([0] * len(one))), "one place"),
        (ROWS.file, column("score", lambda one: pa.array([1e300] * len(one))), "score outside"),
        (EXAMPLES.file, column("at", lambda one: pa.array([7] * len(one))), "numbered"),
        (EXAMPLES.file, lambda table: table.slice(1), "numbered"),
        (ATTEMPTS.file, column("index", lambda one: pa.array([0] * len(one))), "one place"),
        (STORIES.file, lambda table: pa.concat_tables([table, table]), "one place"),
    ],
)  # fmt: skip
def test_a_table_that_is_not_ours_is_named(folder, table, change, word):
    """Columns, types and places are as we write them, or the table is refused, and the error says why."""
    forge(folder, table, change)
    refused(folder, path_of(folder, table), word)


def test_a_story_of_no_answer_is_refused(folder):
    """A deliberation at a place without a row is refused."""
    forge(folder, ROWS.file, lambda table: table.slice(1))
    refused(folder, path_of(folder, STORIES.file), "there is not")


def test_rows_that_are_not_as_many_as_said_are_refused(folder):
    """The number of rows is that of results.json."""
    forge(folder, ROWS.file, lambda table: table, rows=3)
    refused(folder, path_of(folder, ROWS.file), "12 rows and should have 3")


def test_a_few_bytes_do_not_become_gigabytes(folder):
    """Dictionaries, deltas and compressed blanks, of which a small file can hold any amount, are refused unread."""
    long = column("question", lambda one: pa.array(["x" * 100_000] * len(one)))
    forge(folder, EXAMPLES.file, long, use_dictionary=True)
    refused(folder, path_of(folder, EXAMPLES.file), "DICTIONARY")
    forge(folder, EXAMPLES.file, long, column_encoding={"question": "DELTA_BYTE_ARRAY"})
    refused(folder, path_of(folder, EXAMPLES.file), "DELTA")
    many = pa.table({"at": pa.nulls(12_000_000, pa.int64()), **{
        name: pa.nulls(12_000_000, pa.string()) for name in EXAMPLES.own}})  # fmt: skip
    forge(folder, EXAMPLES.file, lambda table: pa.concat_tables([many] * 4), compression="zstd")
    assert path_of(folder, EXAMPLES.file).stat().st_size < 1_000_000
    refused(folder, path_of(folder, EXAMPLES.file), "would become")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda found: found["task"].update(size=5), "5 questions, and 6 are there"),
        (lambda found: found.update(asked=1), "1 answers were asked for, and 12 are there"),
        (lambda found: found["settings"].pop(), "'arm' is not among the 1"),
    ],
)
def test_a_results_json_that_does_not_fit_the_tables_is_refused(folder, change, word):
    """The number of questions, of answers and of settings is that of the tables."""
    found = said(folder)
    change(found)
    say(folder, found)
    assert word in str(refused(folder, folder))


@pytest.mark.parametrize(
    ("table", "name", "value", "word"),
    [
        (ROWS.file, "correct", True, "right where its score or its error says otherwise"),
        (ROWS.file, "correct", False, "right where its score or its error says otherwise"),
        (ROWS.file, "confidence", 1.5, "confidence outside"),
        (ROWS.file, "tokens_out", -1, "'tokens_out' has a number below 0"),
        (ROWS.file, "dollars", -0.5, "'dollars' has a number below 0"),
        (ATTEMPTS.file, "score", -0.5, "score outside"),
        (ATTEMPTS.file, "correct", False, "right where its score"),
        (ATTEMPTS.file, "seconds", -1.0, "'seconds' has a number below 0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(folder, table, name, value, word):
    """A right answer has the score 1 and no error; shares lie from 0 to 1, amounts are no less than 0."""
    forge(folder, table, column(name, lambda one: pa.array([value] * len(one), one.type)))
    refused(folder, path_of(folder, table), word)
