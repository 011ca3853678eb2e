"""Results in a folder: they come back as they were, are never half there, and hold no secret."""

import json
import os
import pickle

import pandas as pd
import pytest
from small_study import HOSTILE, RIGHT, WRONG, study

from rtk.errors import RTKError
from rtk.experiments.records import saving
from rtk.experiments.records.records import Arm, Card, Records
from rtk.experiments.records.saving import load, save

SECRETS = ("sk-this-is-a-secret", "gpu-box.example:8000", "hf_abcdefghijkl", "bearer-token-1", "10.0.0.7:11434")


class Mine(Records):
    """A subclass, as the results of a sweep are."""


class Killed(BaseException):
    """What ends a process in the middle."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def same(one, other):
    pd.testing.assert_frame_equal(one.rows(), other.rows())
    pd.testing.assert_frame_equal(one.candidates(), other.candidates())
    pd.testing.assert_frame_equal(one.examples(), other.examples())
    assert (one.task, one.settings, one.axes) == (other.task, other.settings, other.axes)
    assert (one.asked, one.stopped, one.replicates) == (other.asked, other.stopped, other.replicates)
    told = [one.deliberation(row) for row in range(len(one.rows("answer")))]
    assert [str(story) for story in told] == [str(other.deliberation(row)) for row in range(len(told))]


def test_what_was_saved_comes_back(tmp_path):
    """Rows, attempts, examples, deliberations and what was measured are the same after saving and loading."""
    made = study(replicates=2, asked=99, stopped="interrupted", question=HOSTILE + " {at}")
    save(made, tmp_path / "new" / "study")
    same(made, load(tmp_path / "new" / "study"))


def test_results_of_nothing_come_back(tmp_path):
    """Results without a row, a question or a setting are saved and loaded."""
    made = Records.of(Card("nothing", "", 0, "0" * 64), [], [], [])
    save(made, tmp_path / "study")
    assert len(load(tmp_path / "study").rows()) == 0


def test_a_subclass_is_loaded_as_such(tmp_path):
    """`load` makes of a folder what it is asked to."""
    save(study(cls=Mine), tmp_path / "study")
    assert type(load(tmp_path / "study", Mine)) is Mine


def test_saved_results_say_what_made_them(tmp_path):
    """The versions of rtk, DSPy and Python and the time stand in results.json, and what was known before stays."""
    save(study(about={"made": "2026-01-02T03:04:05+00:00", "seed": 3}), tmp_path / "study")
    about = json.loads((tmp_path / "study" / "results.json").read_text())["about"]
    assert about["made"] == "2026-01-02T03:04:05+00:00"
    assert about["seed"] == 3
    assert {"rtk", "dspy", "python"} <= set(about)


def test_loaded_results_outlive_their_folder(tmp_path):
    """What was loaded is read from a copy: the folder may be replaced, changed or removed."""
    save(study(), tmp_path / "study")
    loaded = load(tmp_path / "study")
    for path in (tmp_path / "study").iterdir():
        path.write_bytes(b"gone")
    same(study(), loaded)


def test_results_are_saved_over_themselves(tmp_path):
    """Loaded results go back into their folder, which then holds one save and no more."""
    save(study(), tmp_path / "study")
    save(load(tmp_path / "study"), tmp_path / "study")
    assert len(names(tmp_path / "study")) == 5
    same(study(), load(tmp_path / "study"))


def test_other_files_stay(tmp_path):
    """Saving over results leaves what else lies in their folder as it is."""
    save(study(), tmp_path / "study")
    (tmp_path / "study" / "notes.txt").write_text("mine")
    save(study([[RIGHT], [WRONG]]), tmp_path / "study")
    assert (tmp_path / "study" / "notes.txt").read_text() == "mine"
    assert len(load(tmp_path / "study").rows()) == 2


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 1}', "[1, 2"])
def test_nothing_is_written_over_what_is_not_ours(tmp_path, content):
    """A folder with other files, also with somebody else's results.json, is refused and left as it is."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "results.json" if content else folder / "data.csv").write_text(content)
    before = names(folder)
    with pytest.raises(RTKError) as error:
        save(study(), folder)
    assert "name a new folder" in "".join(error.value.__notes__)
    assert names(folder) == before


def test_a_file_is_no_folder(tmp_path):
    """A file where the folder should be is refused and stays."""
    (tmp_path / "study").write_text("a file")
    with pytest.raises(RTKError, match="holds no results"):
        save(study(), tmp_path / "study")
    assert (tmp_path / "study").read_text() == "a file"


def test_an_empty_folder_is_filled(tmp_path):
    """An empty folder becomes that of the results."""
    (tmp_path / "study").mkdir()
    save(study(), tmp_path / "study")
    same(study(), load(tmp_path / "study"))
    assert names(tmp_path) == ["study"]


def end_at(monkeypatch, number):
    """Let the process end at the number-th thing that reaches the disk; nothing is cleared up after that."""
    done = []

    def step(real):
        def ends(*arguments):
            if len(done) == number:
                raise Killed
            done.append(real)
            return real(*arguments)

        return ends

    for name in ("fsync", "replace", "rename"):
        monkeypatch.setattr(saving.os, name, step(getattr(os, name)))


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("cleared", [True, False])
def test_a_save_that_is_killed_leaves_the_old_results(tmp_path, number, cleared):
    """Whenever saving over results ends early, the old ones are there, whole; where it could clear up, alone."""
    old = study([[RIGHT], [WRONG]])
    save(old, tmp_path / "study")
    before = names(tmp_path / "study")
    with pytest.MonkeyPatch.context() as patch:
        end_at(patch, number)
        if not cleared:
            patch.setattr(saving.Path, "unlink", lambda *arguments, **how: None)
        with pytest.raises(Killed):
            save(study(), tmp_path / "study")
    same(old, load(tmp_path / "study"))
    assert (names(tmp_path / "study") == before) == cleared


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("cleared", [True, False])
def test_a_first_save_that_is_killed_leaves_nothing_under_its_name(tmp_path, number, cleared):
    """Whenever saving to a new folder ends early, there is no such folder, and the next save makes it."""
    with pytest.MonkeyPatch.context() as patch:
        end_at(patch, number)
        if not cleared:
            patch.setattr(saving, "rmtree", lambda *arguments, **how: None)
        with pytest.raises(Killed):
            save(study(), tmp_path / "study")
    assert not (tmp_path / "study").exists()
    assert bool(names(tmp_path)) is not cleared
    save(study(), tmp_path / "study")
    same(study(), load(tmp_path / "study"))


def test_no_secret_is_written(tmp_path):
    """Keys, headers and endpoints of settings, names and notes are in no results.json; the settings stay apart."""
    values = {
        "samples": 4,
        "api_key": SECRETS[0],
        "lm": {"headers": {"Authorization": f"Bearer {SECRETS[3]}"}, "api_base": f"http://{SECRETS[1]}/v1", "top": 1},
        "note": [f"key {SECRETS[2]} at {SECRETS[4]}", f"Authorization: Bearer {SECRETS[3]}"],
    }
    arms = [Arm(f"m at https://{where}/v1", "P", f"openai/m@{SECRETS[1]}", values) for where in (SECRETS[1], "two")]
    card = Card(f"task of {SECRETS[0]}", "", 0, "0" * 64)
    about = {"endpoint": f"https://{SECRETS[1]}", "password": "pw-pw-pw", "who": f"api_key={SECRETS[0]}"}
    save(Records.of(card, arms, [], [], about=about), tmp_path / "study")
    text = (tmp_path / "study" / "results.json").read_text()
    assert [secret for secret in (*SECRETS, "pw-pw-pw", "http", "api_key") if secret in text] == []
    loaded = load(tmp_path / "study")
    assert [arm.label for arm in loaded.settings] == ["m at …", "m at … (2)"]
    assert loaded.settings[0].values["lm"] == {"top": 1}
    assert loaded.axes == ["samples", "lm", "note"]


@pytest.mark.parametrize(
    "text", ["samples=2048", "ollama_chat/qwen2.5:7b", "max_tokens: 64", "basic arithmetic", "budget:2048", "a secret"]
)
def test_what_is_no_secret_stays(tmp_path, text):
    """Names of settings, models and tasks are written as they are."""
    save(Records.of(Card(text, "", 0, "0" * 64), [Arm(text, text, text, {"n": text})], [], []), tmp_path / "study")
    loaded = load(tmp_path / "study")
    assert (loaded.task.name, loaded.settings[0]) == (text, Arm(text, text, text, {"n": text}))


def test_values_that_json_lacks_are_written_as_text(tmp_path):
    """Infinite numbers, functions and lone surrogates among settings do not keep results from being saved."""
    arm = Arm("a", "P", "m", {"stop": float("inf"), "rule": sorted, "half": "\ud800"})
    save(Records.of(Card("t", "", 0, "0" * 64), [arm], [], []), tmp_path / "study")
    values = load(tmp_path / "study").settings[0].values
    assert values["stop"] == "inf"
    assert "sorted" in values["rule"]


def test_nothing_is_pickled(tmp_path):
    """No file of a save is a pickle, and none carries metadata that could hold one."""
    save(study(), tmp_path / "study")
    for path in (tmp_path / "study").iterdir():
        assert b"pandas" not in path.read_bytes()
        with pytest.raises((pickle.UnpicklingError, ValueError, KeyError, EOFError, IndexError)):
            pickle.loads(path.read_bytes())
