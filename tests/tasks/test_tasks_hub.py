"""Data sets of the Hugging Face hub, by a stand-in for `datasets` and by `datasets` itself where it is installed."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

import rtk
from rtk.errors import MissingExtra, TaskError


class Rows(list):
    """What `datasets.load_dataset` gives for one split: rows, and the features of its columns."""

    def __init__(self, start, stop):
        super().__init__({"question": f"q {n}", "label": n % 2, "answer": n} for n in range(start, stop))
        self.features = {"question": SimpleNamespace(), "label": SimpleNamespace(names=["no", "yes"])}


@pytest.fixture
def hub(monkeypatch):
    """`datasets` without a network: notes what was asked for, and gives three splits."""
    asked = []

    def load_dataset(name, config=None, *, split=None, revision=None):
        asked.append((name, config, split, revision))
        if name == "no/such":
            raise ConnectionError("Couldn't reach the hub\nand more")
        whole = {"train": Rows(0, 20), "validation": Rows(20, 30), "test": Rows(30, 60)}
        return whole if split is None else whole[split]

    module = ModuleType("datasets")
    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    return asked


def test_all_splits_of_a_data_set_are_kept(hub):
    """Without `split=` each row stays where the data set has it, and what is asked for is passed on."""
    task = rtk.Task.from_hub("owner/sums", config="main", revision="abc")
    assert hub == [("owner/sums", "main", None, "abc")]
    assert (task.name, len(task.train), len(task.dev), len(task.test)) == ("sums", 20, 10, 30)
    assert task.test[0].answer == 30


def test_one_split_is_divided_by_what_it_asks(hub):
    """The rows of one split are a table like any."""
    task = rtk.Task.from_hub("owner/sums", split="test", size=5)
    assert len(task.test) == 5
    assert {int(one.question[2:]) for one in task.train + task.dev + task.test} <= set(range(30, 60))


def test_classes_are_answered_by_name(hub):
    """A column of class labels gives their names, which are the choices."""
    task = rtk.Task.from_hub("owner/sums", answer="label")
    assert task.answer_type == "choice"
    assert {one.answer for one in task.test} == {"yes", "no"}


def test_a_data_set_that_cannot_be_loaded_says_why(hub):
    """Offline or not there: the cause in one line, and what else can be done."""
    with pytest.raises(TaskError, match="ConnectionError: Couldn") as caught:
        rtk.Task.from_hub("no/such")
    assert "and more" not in str(caught.value)
    assert "load a file of it" in caught.value.mend


def test_without_the_package_it_is_named(monkeypatch):
    """Where `datasets` is not installed the error says what to install."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra) as caught:
        rtk.Task.from_hub("owner/sums")
    assert caught.value.mend == "pip install datasets"


def test_the_package_itself_reads_a_folder(tmp_path, monkeypatch):
    """The real `load_dataset` gives the task that the file gives; a name it cannot find is an error in words."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    pytest.importorskip("datasets")
    rows = [{"question": f"q {n}", "answer": n} for n in range(40)]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = rtk.Task.from_hub(str(tmp_path / "data"), split="train", name="own")
    assert task.fingerprint == rtk.Task.from_frame(rows).fingerprint
    with pytest.raises(TaskError, match="could not be loaded"):
        rtk.Task.from_hub("owner/no-such-data-set-here")
