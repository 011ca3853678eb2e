"""What a sweep found, as tables on a disk: one row an answer, one row an attempt, and how each answer came about.

The rows lie in Parquet files and are read by column, so that a hundred thousand of them take no memory until they are
looked at. Who analyses them takes `Records` and knows no program, model or store.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import numpy as np

from rtk.deliberation import Deliberation
from rtk.errors import RTKError
from rtk.experiments.records.spool import ATTEMPTS, EXAMPLES, ROWS, STORIES, Spool, read, read_where

PLACE = ("arm", "replicate", "at")  # where a row belongs: the setting, the replicate, the example, all from 0
OF_EXAMPLE = ("example", "question", "gold", "kind")
OF_ARM = ("setting", "program", "model")


@dataclass(frozen=True)
class Card:
    """Which questions were asked, and how they were scored.

    Attributes:
        name: the task's; of a plain list of examples "examples".
        split: "test", "dev", "train"; empty for a plain list.
        size: how many questions.
        fingerprint: SHA-256 of the questions and how they are scored, in hex.
        metric: what is reported, such as "accuracy" or "mean judged score".
        level: the task's difficulty; None where it has none.
        seed: which draw of questions; None where none was drawn.
    """

    name: str
    split: str
    size: int
    fingerprint: str
    metric: str = "accuracy"
    level: int | None = None
    seed: int | None = None

    def __str__(self) -> str:
        level = "" if self.level is None else f" at level {self.level}"
        split = f", {self.split}" if self.split else ""
        asked = "1 question" if self.size == 1 else f"{self.size} questions"
        return f"{self.name}{level}{split}: {asked} ({self.fingerprint[:12]})"


@dataclass(frozen=True)
class Arm:
    """One setting of one program on one model.

    Attributes:
        label: no other arm's, such as `"samples=8"`.
        program: its name.
        model: the model string; empty where there is one and it has no name.
        values: the swept settings, as JSON values; of a function its name.
    """

    label: str
    program: str
    model: str
    values: Mapping[str, Any] = field(default_factory=dict)


class Records:
    """The tables of a sweep.

    Attributes:
        task: which questions.
        settings: the arms, in the order of the rows.
        axes: the names of what was swept, in order; each is a column.
        asked: how many rows there would be without an interruption.
        stopped: why there are fewer: `"interrupted"`, or the unit of the sweep's budget that ran out; None otherwise.
        replicates: how many independent runs of the whole there are.
        about: the versions it was made with, when, and what else is worth knowing.
    """

    def __init__(
        self,
        task: Card,
        settings: Sequence[Arm],
        folder: Path,
        *,
        asked: int,
        stopped: str | None = None,
        replicates: int = 1,
        about: Mapping[str, Any] | None = None,
        owned: bool = False,
    ) -> None:
        self.task, self.settings, self.asked, self.stopped = task, list(settings), asked, stopped
        self.replicates, self.about = replicates, dict(about or {})
        self.axes = list(dict.fromkeys(name for arm in self.settings for name in arm.values))
        self._folder = folder
        if owned:  # a folder of ours goes with the last reference to what lies in it
            weakref.finalize(self, rmtree, folder, ignore_errors=True)

    @classmethod
    def of(
        cls,
        task: Card,
        settings: Sequence[Arm],
        rows: Sequence[Mapping[str, Any]],
        examples: Sequence[Mapping[str, Any]],
        attempts: Sequence[Mapping[str, Any]] = (),
        stories: Sequence[Mapping[str, Any]] = (),
        **about: Any,
    ) -> Any:
        """Records of rows at hand, in the forms of `rtk.experiments.records.spool`; what is left out of a row is empty.

        Args:
            task: which questions.
            settings: the arms.
            rows: with `arm`, `replicate` and `at`, which are places in `settings` and `examples`.
            examples: with `example`, `question`, `gold` and `kind`.
            attempts: with `pool`, `arm`, `replicate`, `at` and `index`.
            stories: with `arm`, `replicate`, `at` and `story`, the JSON of a deliberation.
            **about: as of the class.
        """
        folder = Path(mkdtemp(prefix="rtk-results-"))
        with Spool(folder) as spool:
            spool.add(EXAMPLES, [{"at": at, **example} for at, example in enumerate(examples)])
            spool.add(ROWS, rows)
            spool.add(ATTEMPTS, attempts)
            spool.add(STORIES, stories)
        about.setdefault("asked", len(rows))
        return cls(task, settings, folder, owned=True, **about)

    @property
    def interrupted(self) -> bool:
        """Whether there are fewer rows than were asked for."""
        return self.stopped is not None

    # --- tables ---

    def rows(self, *columns: str) -> Any:
        """The answers as a pandas frame, an arm after the other, each in the order of replicates and examples.

        Columns: `setting`, `program`, `model`, one for each of `axes`, `replicate`, `example` (its id), `question`,
        `answer`, `gold`, `kind` (what the example says it is, if it does), `correct`, `score` in [0, 1], `abstained`,
        `error`, `stopped`, `level` (of a cascade or ladder: whose answer it is), `confidence`, `calls`,
        `consulted`, `drawn`, `reused`, `failed` (samples), `tokens_in` (the prompt counted for every sample),
        `tokens_out`, `dollars` and `flops` (what the answer costs by itself: each prompt once an ask where the server
        reads it once), `seconds` (the longest path of its asks, as long as they took when drawn), `work` (all its
        samples one after the other), `wall` (measured now), `addresses`, and, of the attempts it was chosen from,
        `pool` and `attempts` (how many of the pool).

        Args:
            *columns: those wanted; all without.

        Raises:
            RTKError: for a column there is not.
        """
        names = list(columns) or self.columns
        return self._joined(ROWS, names, self.columns, list(PLACE))

    def candidates(self, *columns: str) -> Any:
        """The attempts that answers were chosen from, as a pandas frame; each once, however many settings share it.

        Columns: `program`, `model`, `pool` (settings that share attempts share a pool), `replicate`, `example`,
        `question`, `gold`, `index` (its place in the pool, from 0), `answer`, `abstention` (its kind), `correct` and
        `score` (it alone against the gold; no score where it was not looked at), `logprob` (mean of its tokens, in
        nats), `reward`, `tokens_in`, `tokens_out`, `dollars` and `flops` (as paid when drawn: what read a prompt
        together shares it), `seconds`, `address`, `text` (the raw completion), `finish` (its finish reason).

        Raises:
            RTKError: for a column there is not.
        """
        known = [*OF_ARM[1:], "replicate", *OF_EXAMPLE, *ATTEMPTS.own]
        return self._joined(ATTEMPTS, list(columns) or known, known, ["pool", "index"])

    def examples(self) -> Any:
        """The questions as a pandas frame: `example` (its id), `question`, `gold`, `kind`."""
        return read(self._folder, EXAMPLES).sort_values("at").reset_index(drop=True)[list(OF_EXAMPLE)]

    @property
    def columns(self) -> list[str]:
        """The columns of `rows`."""
        return [*OF_ARM, *self.axes, "replicate", *OF_EXAMPLE, *ROWS.own]

    def deliberation(self, row: int) -> Deliberation | None:
        """How the answer in that row of `rows()` came about; None where nothing was told.

        Raises:
            RTKError: for a row there is not.
        """
        places = self._places()
        if not 0 <= row < len(places):
            raise RTKError(f"row {row} of {len(places)}", mend="a row number of rows()")
        found = read_where(self._folder, STORIES, dict(zip(PLACE, map(int, places[row]), strict=True)))
        return Deliberation.from_dict(json.loads(found[0]["story"])) if found else None

    def deliberations(self) -> Iterator[tuple[int, Deliberation]]:
        """All of them, with their row numbers, in no certain order; one is in memory at a time."""
        number = {tuple(map(int, place)): row for row, place in enumerate(self._places())}
        for batch in STORIES.batches(self._folder):
            for one in batch:
                yield number[tuple(one[name] for name in PLACE)], Deliberation.from_dict(json.loads(one["story"]))

    def _places(self) -> Any:
        frame = read(self._folder, ROWS, list(PLACE)).sort_values(list(PLACE), kind="stable")
        return frame[list(PLACE)].to_numpy()

    def _joined(self, kind: Any, names: list[str], known: list[str], order: list[str]) -> Any:
        """Columns of a table, those of its arms and examples among them, in order."""
        import pandas as pd

        if unknown := [name for name in names if name not in known]:
            raise RTKError(f"there is no column {unknown[0]!r}", mend=f"one of {', '.join(known)}")
        needed = [name for name in kind.names if name in {*names, *order, "arm", "at"}]
        frame = read(self._folder, kind, needed)
        frame = frame.sort_values(order, kind="stable").reset_index(drop=True)
        for name in names:
            if name in OF_EXAMPLE:
                frame[name] = pd.Series(self._of_example(name)[frame["at"].to_numpy()], dtype=object)
            elif name in OF_ARM or (name in self.axes and name not in kind.own):
                values = self._of_arm(name)
                frame[name] = pd.Series(values[frame["arm"].to_numpy()], dtype=values.dtype)
        return frame[names]

    def _of_example(self, name: str) -> Any:
        return self.examples()[name].to_numpy(dtype=object)

    def _of_arm(self, name: str) -> Any:
        """A column's value for each arm: numbers where all are numbers."""
        import pandas as pd

        key = "label" if name == "setting" else name
        values = [getattr(arm, key) if name in OF_ARM else arm.values.get(name) for arm in self.settings]
        plain = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        return pd.Series(values).to_numpy() if plain else _objects(values)


def _objects(values: Sequence[Any]) -> Any:
    found = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        found[place] = value
    return found
