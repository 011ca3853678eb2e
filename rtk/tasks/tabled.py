"""Tasks from tables of one's own: frames, files, data sets of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal, Self

from rtk.answers import Checker, Comparer
from rtk.errors import TaskError
from rtk.tasks.columns import Columns
from rtk.tasks.judging import Judge, JudgeAnswer
from rtk.tasks.kinds import AnswerType
from rtk.tasks.own import Asked, Table, read_table
from rtk.tasks.sources import SPLIT_COLUMN, Source, read_hub, read_source


class Tabled:
    """What can be made from a table; `rtk.Task` is."""

    @classmethod
    def _of_table(cls, found: Table, seed: int, check: Checker | None, judge: Judge | None) -> Self:
        raise NotImplementedError

    @classmethod
    def _read(cls, source: Source, asked: Asked, check: Checker | None, criteria: str | None) -> Self:
        if criteria is not None and asked.answer is not None:
            raise TaskError("criteria= is for answers that are judged", mend="answer=None, or leave criteria= out")
        judge = None
        if asked.answer is None:
            judge = Judge(JudgeAnswer if criteria is None else JudgeAnswer.with_instructions(criteria))
        return cls._of_table(read_table(source, asked), asked.seed, check, judge)

    @classmethod
    def from_frame(
        cls,
        table: Any,
        question: Columns = "question",
        answer: str | None = "answer",
        *,
        inputs: Columns | None = None,
        id: str | None = None,
        split: str | None = None,
        name: str | None = None,
        size: int | Mapping[str, int] | None = None,
        seed: int = 0,
        answer_type: AnswerType | None = None,
        choices: Sequence[Any] | None = None,
        comparer: Comparer | None = None,
        check: Checker | None = None,
        signature: Any = None,
        instructions: str | None = None,
        criteria: str | None = None,
        bad: Literal["raise", "drop"] = "raise",
    ) -> Self:
        """A task from a table of one's own, one question a row.

        A row that is not sound is named by row (from 0) and column and never guessed at: nothing or an empty text
        where a question or an answer should be, a value of another type than the others, infinities, control
        characters, dates and other objects, an id that came before, a question that has two answers. Rows that merely
        repeat another one count once and are listed in `task.repeated`.

        Args:
            table: a pandas or polars frame, an Arrow table, a list of dicts, or the path of a `.csv`, `.tsv`, `.jsonl`,
                `.json` or `.parquet` file. In a CSV file all is text: answers most of which are numbers are numbers.
            question: the column of the question, which becomes the field `question`; or several columns, which become
                fields of their own names; or fields to columns.
            answer: the column of the gold answers, which becomes the field `answer`; None where there are none and a
                judge scores (`task.judged_by`).
            inputs: the same as `question`, for who has several.
            id: a column of names of the rows; otherwise a row is called after what it asks.
            split: a column that says train, dev (or validation) or test. Without it a question goes by the hash of
                what it asks: a quarter each to train and dev, half to test, the same in every table it stands in.
            name: of the task; a file's own by default.
            size: the number of test questions, with half as many for dev and 40 for training where there are so many;
                or a number for each split. All by default.
            seed: which questions, where `size` leaves some out. A larger size keeps those of a smaller one.
            answer_type: what answers are, and bad rows otherwise; inferred by default, and shown in the repr.
            choices: of answers that are one of a few.
            comparer: how answers are compared; by their type by default.
            check: `(inputs, candidate) -> Check`; never shown the gold answer.
            signature: a DSPy signature for the questions; made of the columns by default.
            instructions: of the signature.
            criteria: what a judge is told to judge by, where `answer` is None.
            bad: `"raise"`, or `"drop"`: bad rows are left out, with a warning, and listed in `task.dropped`.

        Raises:
            TaskError: it is no table; a column that is not there, or is there twice; bad rows, up to ten of them named;
                too few questions.
        """
        asked = Asked(inputs or question, answer, id, split, name, size, seed, answer_type, choices, comparer,
                      signature, instructions, bad)  # fmt: skip
        return cls._read(read_source(table), asked, check, criteria)

    @classmethod
    def from_csv(cls, path: str | PathLike[str], question: Columns = "question", **options: Any) -> Self:
        """A task from a `.csv` or `.tsv` file, perhaps `….gz`; otherwise as `from_frame`, whose options it takes."""
        return cls.from_frame(_path(path, (".csv", ".tsv")), question, **options)

    @classmethod
    def from_jsonl(cls, path: str | PathLike[str], question: Columns = "question", **options: Any) -> Self:
        """A task from a `.jsonl` file, one object a line, or a `.json` list; otherwise as `from_frame`."""
        return cls.from_frame(_path(path, (".jsonl", ".json")), question, **options)

    @classmethod
    def from_parquet(cls, path: str | PathLike[str], question: Columns = "question", **options: Any) -> Self:
        """A task from a `.parquet` file; otherwise as `from_frame`, whose options it takes."""
        return cls.from_frame(_path(path, (".parquet",)), question, **options)

    @classmethod
    def from_hub(
        cls,
        dataset: str,
        question: Columns = "question",
        answer: str | None = "answer",
        *,
        config: str | None = None,
        split: str | None = None,
        revision: str | None = None,
        check: Checker | None = None,
        criteria: str | None = None,
        **options: Any,
    ) -> Self:
        """A task from a data set of the Hugging Face hub, where `datasets` is installed.

        Args:
            dataset: its name, or a local folder of files.
            question: as in `from_frame`.
            answer: as in `from_frame`; of a column of class labels, their names are the answers.
            config: the data set's configuration, where it has several.
            split: the data set's split whose rows are taken, and then divided by what they ask. Without it all are,
                each in its own: `validation` is `dev`.
            revision: which version of the data set, for a study that others repeat.
            check: as in `from_frame`.
            criteria: as in `from_frame`.
            **options: the other options of `from_frame`.

        Raises:
            MissingExtra: `datasets` is not installed.
            TaskError: offline, no such data set, configuration or split; or as `from_frame`.
        """
        source = read_hub(dataset, config, split, revision)
        inputs = options.pop("inputs", None) or question
        asked = Asked(inputs, answer, split=None if split is not None else SPLIT_COLUMN, **options)
        return cls._read(source, asked, check, criteria)


def _path(path: str | PathLike[str], endings: tuple[str, ...]) -> str | PathLike[str]:
    if not str(path).removesuffix(".gz").endswith(endings):
        raise TaskError(f"{path} is no {endings[0]} file by its name", mend="Task.from_frame(path) goes by the name")
    return path
