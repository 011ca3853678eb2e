"""`rtk.Playground`: turn the budget, edit the prompt, and see what more thinking buys."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import dspy
import ipywidgets as w

from rtk._html import Markup, element
from rtk.budget import Budget
from rtk.deliberation import Deliberation
from rtk.errors import ModelError, TaskError
from rtk.models import LM, LinesAdapter
from rtk.store import current_recording
from rtk.strategies import Peek, Prediction, Strategy, peek
from rtk.tasks import Task
from rtk.widgets import wording
from rtk.widgets.controls import Controls
from rtk.widgets.offers import Dial, Offer, offers, signature_of
from rtk.widgets.page import page
from rtk.widgets.subshells import freed
from rtk.widgets.trial import Trial, ending
from rtk.widgets.vote_view import VoteView, answer_of

QUESTIONS = 20  # of a task's dev split, to pick from
_NO_TEXT = "A playground of rtk: run this cell for its controls."


class Playground:
    """Controls for one question: model, strategy, prompt, samples, temperature, budget; Run and Stop.

    Before anything is drawn it says how many samples the setting needs and how many are there; a setting whose
    samples are all there answers at once. Runs go on in threads of their own, so the kernel stays free, and what came
    before Stop is kept. A static copy below the controls is what a reader without a kernel sees.

    >>> rtk.Playground(task=rtk.tasks.load("arithmetic"))  # doctest: +SKIP

    Args:
        program: a program of yours, offered first; its instructions and its settings (`samples`, `breadth`, …) are
            turned on a copy. Or a signature, for the usual strategies on it.
        task: brings questions of its dev split, worked examples for the prompts, a checker, and gold answers to
            compare with.
        model: an LM, a model string, or several of them to choose from; by default the one that DSPy is configured
            with, else the embedded one under `rtk.LinesAdapter`.

    Raises:
        ModelError: for a model that cannot be.
        TaskError: for a task that is none.
        StrategyError: for a program that is neither one nor a signature.
    """

    def __init__(
        self,
        program: dspy.Module | type[dspy.Signature] | str | None = None,
        task: Task | None = None,
        model: dspy.BaseLM | str | Sequence[dspy.BaseLM | str] | None = None,
    ) -> None:
        if task is not None and not isinstance(task, Task):
            raise TaskError(f"task={task!r:.60} is no task", mend="for example task=rtk.tasks.load('arithmetic')")
        self._given, self._task = program, task
        self._models, self._adapter = _models(model)
        signature = signature_of(program, task)
        self._offers: dict[str, Offer] = offers(program, task, signature)
        names = [lm.model for lm in self._models]
        if len(set(names)) < len(names):  # one name, other settings
            names = [f"{number}: {name}" for number, name in enumerate(names, 1)]
        heat = self._models[0].kwargs.get("temperature")
        self.controls = Controls(
            self._offers, signature, task.dev[:QUESTIONS] if task is not None else [], names,
            0.7 if heat is None else heat, min(8, len(task.train)) if task is not None else 0,
        )  # fmt: skip
        self.prediction: Prediction | Any = None
        self._view, self._story = VoteView(), w.HTML()
        self._lock, self._running, self._trial = threading.RLock(), False, None
        self._twin: Any = None
        self._page = Markup()
        self.controls.on_change(self._look)
        self.controls.run.on_click(lambda _: self.run())
        self.controls.stop.on_click(lambda _: self.stop())
        self._look()
        self._view.twin = hashlib.sha256(self._page.encode()).hexdigest()[:32]

    # --- what a cell can do too ---

    @property
    def program(self) -> dspy.Module:
        """The program as the controls stand, to use or to save."""
        return self._build(self.controls.dial)

    def run(self) -> None:
        """What the button does: run the program in a thread of its own."""
        with self._lock:
            if self._running:
                return
            dial = self.controls.dial
            if not _asked(dial):
                return self._look()
            report = partial(self._report, dial=dial)
            try:
                trial = Trial(self._build(dial), self._inputs(dial), _budget(dial), self._settings(dial), report)
            except Exception as error:  # noqa: BLE001 - shown in place, as a run's own error is
                return self._failed(error, dial)
            self.controls.busy(True)
            self._running, self._trial = True, trial
            self._progress(trial, dial)
            trial.start()

    def stop(self) -> None:
        """What the button does: ask no more; what came is kept."""
        if (trial := self._latest()) is not None:
            trial.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the run under way; whether it is over."""
        return (trial := self._latest()) is None or trial.wait(seconds)

    def _latest(self) -> Trial | None:
        """The last run that was started; never one that is about to be."""
        with self._lock:
            return self._trial

    # --- looking and running ---

    def _look(self) -> None:
        """A control was turned: say what that needs, and answer where nothing does."""
        with self._lock:
            if self._running:
                return
            dial = self.controls.dial
            if not _asked(dial):
                return self._idle(wording.unasked(), None, dial)
            try:
                seen = self._peek(dial)
            except Exception as error:  # noqa: BLE001 - whatever a setting leads to is shown in place
                return self._failed(error, dial)
            if seen is None or not seen.whole:
                return self._idle(wording.need(seen), seen, dial)
            self._say(wording.need(seen))
            self._conclude(seen.prediction, "stopped" if ending(seen.prediction) else "done", dial)

    def _idle(self, said: Markup, seen: Peek | None, dial: Dial) -> None:
        """No answer yet; what is there is shown."""
        self._say(said)
        self.prediction = None
        self._show(seen.prediction if seen is not None else None, "idle", wording.so_far(seen))
        self._tell(None, dial)

    def _failed(self, error: BaseException, dial: Dial) -> None:
        """An error in place of an answer."""
        self._say(wording.failure(error))
        self.prediction = None
        self._show(None, "failed", "")
        self._tell(error, dial)

    def _report(self, trial: Trial, dial: Dial) -> None:
        """From the run's own thread: a sample came, or it is over."""
        with self._lock:
            state = trial.state
            if state == "running":
                return self._progress(trial, dial)
            self._running = False
            self.controls.busy(False)
            if state == "failed" and trial.error is not None:
                return self._failed(trial.error, dial)
            self._say(wording.ended(trial, self._keeps(dial)))
            self._conclude(trial.prediction, state, dial)
            if self.controls.dial != dial:  # a control was turned meanwhile
                self._look()

    def _progress(self, trial: Trial, dial: Dial) -> None:
        try:
            seen = self._peek(dial)
        except Exception:  # noqa: BLE001 - what a program makes of a part of its samples is no matter of the run's
            seen = None
        self._say(wording.under_way(trial, seen))
        self._show(seen.prediction if seen is not None else None, "running", wording.so_far(seen))

    def _keeps(self, dial: Dial) -> bool:
        """Whether what a run draws is kept."""
        return bool(self._models[dial.model].cache) or current_recording() is not None

    def _build(self, dial: Dial) -> dspy.Module:
        return self._offers[dial.strategy].build(dial)

    def _settings(self, dial: Dial) -> dict[str, Any]:
        """The DSPy context of a run: never configured for all, since callbacks come on other threads."""
        lm = self._models[dial.model]
        given = {"lm": lm.copy(temperature=dial.temperature)}
        return {**given, "adapter": self._adapter} if self._adapter is not None else given

    def _peek(self, dial: Dial) -> Peek | None:
        """What is there of a run; None for a program that cannot be asked."""
        program = self._build(dial)
        if not isinstance(program, Strategy):
            return None
        with dspy.context(**self._settings(dial)), _budget(dial):
            return peek(program, **self._inputs(dial))

    def _inputs(self, dial: Dial) -> dict[str, Any]:
        """What is asked: an example's own values, which may be no texts, or what was typed."""
        example = self.controls.example(dial.inputs)
        return dict(dial.inputs) if example is None else example.inputs().toDict()

    # --- showing ---

    def _say(self, said: Markup) -> None:
        self.controls.message.value = str(said)

    def _show(self, prediction: Any, status: Any, headline: str) -> None:
        self._view.show(prediction, status, headline)

    def _conclude(self, prediction: Any, status: Any, dial: Dial) -> None:
        self.prediction, right = prediction, None
        try:
            right = self._right(prediction, dial)
        except Exception as error:  # noqa: BLE001 - an answer that cannot be compared is shown all the same
            self._say(wording.failure(error))
        self._show(
            prediction, status, wording.answered(answer_of(prediction), right, getattr(prediction, "abstentions", None))
        )
        self._tell(prediction, dial)

    def _right(self, prediction: Any, dial: Dial) -> tuple[bool, str] | None:
        """Whether the answer is the gold one, and which that is; None where nobody knows."""
        example = self.controls.example(dial.inputs)
        if self._task is None or self._task.judge is not None or example is None or prediction is None:
            return None
        return bool(self._task.metric(example, prediction)), str(example[self._task.answer_field])

    def _tell(self, prediction: Any, dial: Dial) -> None:
        """The deliberation below the controls, and the static copy of it all."""
        told = prediction.deliberation if isinstance(prediction, Prediction) else None
        self._story.value = told.html() if isinstance(told, Deliberation) else ""
        self._page = page(dial, self._offers[dial.strategy], self._models[dial.model].model, prediction)
        if self._twin is not None:
            self._twin.update(self._static(), raw=True)

    def _static(self) -> dict[str, str]:
        whole = element("div", self._page, class_=f"rtk-static-{self._view.twin}")
        return {"text/html": str(whole), "text/plain": repr(self)}

    @property
    def widget(self) -> w.Widget:
        """All controls, as one widget to lay out elsewhere."""
        box = w.VBox([self.controls.box, self._view, self._story])
        box.add_class("rtk-playground")
        return freed(box)

    def _ipython_display_(self) -> None:
        """The controls, then the static copy, which the live view hides."""
        from IPython.display import display

        shown = {"text/plain": _NO_TEXT}
        view: Any = self.widget._repr_mimebundle_()
        display({**view, **shown}, raw=True)
        self._twin = display(self._static(), raw=True, display_id=True)

    def __repr__(self) -> str:
        parts = [type(self._given).__name__] if isinstance(self._given, dspy.Module) else []
        parts += [f"task={self._task.name!r}"] if self._task is not None else []
        return f"Playground({', '.join([*parts, f'model={self._models[0].model!r}'])})"


def _asked(dial: Dial) -> bool:
    """Whether there is a question; a program may have other inputs that are empty, or none at all."""
    return not dial.inputs or any(text.strip() for text in dial.inputs.values())


def _budget(dial: Dial) -> Budget:
    """A fresh budget; without a limit it is there to be closed."""
    return Budget(tokens=dial.tokens or None)


def _models(given: Any) -> tuple[list[Any], Any]:
    """The models, and the adapter, None for the configured one."""
    if given is None and dspy.settings.lm is None:
        return [LM("embedded")], dspy.settings.adapter or LinesAdapter()
    several = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    found = [dspy.settings.lm if one is None else LM(one) if isinstance(one, str) else one for one in several]
    wrong = [type(one).__name__ for one in found if not isinstance(one, dspy.BaseLM)]
    if wrong or not found:
        raise ModelError(
            f"{wrong[0] if wrong else 'an empty list'} is no model", mend="for example model=rtk.LM('embedded')"
        )
    # what an LM of DSPy's own draws is heard of and counted only through one of rtk's
    return [one if isinstance(one, LM) else LM.of(one, cache=False) for one in found], dspy.settings.adapter
