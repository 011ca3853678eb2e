"""`ScriptedServer`: a real HTTP server that speaks a model's wire and answers from a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import get_args

from rtk.errors import EndpointError, ModelError
from rtk.testing.answers import Answers, Latency
from rtk.testing.hosting import Host
from rtk.testing.replies import Received, Script, answering
from rtk.testing.shape import Usage
from rtk.testing.traffic import Traffic
from rtk.testing.wires import WIRES, WireName


class ScriptedServer:
    """A model server on loopback that answers from a script; a context manager.

    Args:
        script: a list of replies (texts or `Reply`s), one for each choice in order of arrival, after whose end every
            request is refused with status 400 (`itertools.cycle` never ends); a text or `Reply`, given always; a dict
            from a part of the prompt to a script of its own, where the last message is searched before the whole
            prompt and `""` answers the rest; a function of `Received`, asked for each choice, or for all of them at
            once where it returns a list; or `faults(...)` around any of these. A function runs on the server's
            loop: it must not wait.
        wire: which server it is: `"openai"` (`POST /v1/chat/completions`, `GET /v1/models`), `"vllm"` of today or
            `"vllm-0.9"` (`GET /health` and `/version` too; it refuses values that vLLM refuses), `"llamacpp"`, or
            `"ollama"` (`POST /api/chat`, `/api/generate`, `/api/show` and `/v1/chat/completions`, `GET /api/tags`,
            `/api/ps` and `/api/version`). Each streams to who asks for it, some words a chunk. Or a model that scores,
            whose replies are numbers as text: `"vllm-score"` (`POST /score`, `/rerank` and `/v1/rerank`),
            `"vllm-classify"`, `"vllm-pooling"` (several numbers are of several classes; at `/pooling`, lines are
            tokens), or `"llamacpp-rerank"`.
        latency: seconds before each reply; a range is drawn from by seed and request, not by order of arrival.
        honours_n: whether `n` completions come for `n` asked; False gives one, a number at most that many.
        api_key: the key that every request must carry as a bearer; None asks for none.
        models: known by name; None knows any.
        seed: of the latency.
        usage: `"sum"` counts all choices' tokens, `"one"` the first one's (as llama.cpp's server does; in a stream
            each one's), `"none"` reports none; None as that server does. A token is a word.
        served_model: the name in the replies; None repeats the request's. It may be set at any time.
        keep: the most requests remembered in `requests`, the newest ones; None for all.

    Raises:
        ModelError: for arguments that make no sense.

    >>> import json, urllib.request
    >>> with ScriptedServer({"capital of France": "Paris"}) as server:
    ...     ask = {"model": "scripted", "messages": [{"role": "user", "content": "The capital of France?"}]}
    ...     reply = urllib.request.urlopen(server.url + "/chat/completions", json.dumps(ask).encode())
    ...     json.load(reply)["choices"][0]["message"]["content"], server.count
    ('Paris', 1)

    Tests wait for states, not for time:

    >>> with ScriptedServer("yes") as server, server.hold():  # doctest: +SKIP
    ...     start_eight_clients(server.url)
    ...     server.wait_for(lambda s: s.in_flight == 8)
    ...     server.release(where=lambda received: received.index == 7)  # the last one is answered first
    """

    def __init__(
        self,
        script: Script,
        *,
        wire: WireName = "openai",
        latency: Latency = 0.0,
        honours_n: bool | int = True,
        api_key: str | None = None,
        models: Sequence[str] | None = ("scripted",),
        seed: int = 0,
        usage: Usage | None = None,
        served_model: str | None = None,
        keep: int | None = 10_000,
    ) -> None:
        if wire not in WIRES or usage not in (*get_args(Usage), None):
            raise ModelError(
                f"ScriptedServer(wire={wire!r}, usage={usage!r})",
                mend=f"wire is one of {', '.join(WIRES)}; usage one of {', '.join(get_args(Usage))}, or None",
            )
        self._script, self._wire = script, wire
        self._traffic = Traffic(keep)
        self._answers = Answers(
            shapes=WIRES[wire].shapes,
            traffic=self._traffic,
            answering=answering(script),
            latency=latency,
            honours_n=honours_n,
            key=api_key,
            models=models,
            seed=seed,
            usage=usage or WIRES[wire].usage,
            served_model=served_model,
        )
        self._host = Host("rtk-scripted-server")

    def __repr__(self) -> str:
        return f"ScriptedServer(wire={self._wire!r})"

    # --- life ---

    def start(self) -> ScriptedServer:
        """Serve at a random port; after a `stop`, at the same one again.

        Raises:
            EndpointError: where it runs already.
        """
        self._host.start(self._answers.application())
        return self

    def stop(self) -> None:
        """Break off what is in flight, and serve no more; nothing where it does not run."""
        self._host.stop()

    def __enter__(self) -> ScriptedServer:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        broken = self._answers.broken
        if broken is not None and error is None:
            raise ModelError(
                f"the script raised {type(broken).__name__}: {broken}",
                mend="its client was answered with status 500; the cause is above",
            ) from broken

    @property
    def url(self) -> str:
        """The endpoint, as `api_base=`: it ends in `/v1`, but for Ollama's, whose `/v1` is below it.

        Raises:
            EndpointError: before the start.
        """
        if not self._host.port:
            raise EndpointError("a ScriptedServer has no address yet", mend="write: with ScriptedServer(...) as server")
        return f"http://127.0.0.1:{self._host.port}{WIRES[self._wire].base}"

    @property
    def served_model(self) -> str | None:
        """The name in the replies; None repeats the request's."""
        return self._answers.served_model

    @served_model.setter
    def served_model(self, name: str | None) -> None:
        self._answers.served_model = name

    # --- what passed ---

    @property
    def requests(self) -> list[Received]:
        """Chat requests in order of arrival, those refused included; the newest `keep` of them."""
        return self._traffic.seen()

    @property
    def count(self) -> int:
        """How many chat requests arrived."""
        return self._traffic.count

    @property
    def in_flight(self) -> int:
        """How many of them are not answered yet."""
        return self._traffic.in_flight

    @property
    def peak_in_flight(self) -> int:
        """The most that were in flight at once."""
        return self._traffic.peak_in_flight

    @property
    def held(self) -> int:
        """How many wait behind `hold`."""
        return self._traffic.held()

    @property
    def choices_served(self) -> int:
        """How many completions were sent, whole."""
        return self._traffic.choices_served

    def reset(self) -> None:
        """Forget what passed and begin the script anew; an iterator goes on where it is."""
        self._answers.answering, self._answers.broken = answering(self._script), None
        self._traffic.reset()

    # --- states rather than time ---

    @contextmanager
    def hold(self, after: int = 0) -> Iterator[None]:
        """Hold the replies to requests that arrive within the block; its end lets all of them go.

        Args:
            after: hold streams, and nothing else, when they have sent so many chunks; 0 holds all before they begin.
        """
        self._traffic.shut(after)
        try:
            yield
        finally:
            self._traffic.open()

    def release(self, count: int | None = None, where: Callable[[Received], bool] | None = None) -> list[Received]:
        """Let replies go that are held now, the first to arrive first; the requests they answer.

        Args:
            count: at most so many; None for all.
            where: only those of requests for which it is true.
        """
        return self._traffic.release(count, where or (lambda received: True))

    def wait_for(self, predicate: Callable[[ScriptedServer], bool], timeout: float = 60.0) -> None:
        """Sleep until `predicate(server)` holds; it is asked after each change. In a coroutine: `asyncio.to_thread`.

        Args:
            predicate: asks this server's properties; it must not wait.
            timeout: seconds.

        Raises:
            TimeoutError: where it does not come about in time.
        """
        self._traffic.wait_for(lambda: predicate(self), timeout)
