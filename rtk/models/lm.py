"""`rtk.LM`: a `dspy.LM` whose samples are data, kept at their addresses.

Only `__call__` and `acall` are overridden: a DSPy program, adapter or optimizer sees an ordinary `dspy.LM`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import dspy
from dspy.clients.lm15_boundary import request_kwargs, response_value
from dspy.lm15 import Request as TypedRequest
from dspy.utils import DummyLM
from dspy.utils.callback import with_callbacks

from rtk.budget import Ceiling, current_budgets
from rtk.errors import BudgetSpent, ModelError, SampleError, UnsupportedParameter
from rtk.events import hearers, watchers
from rtk.models import embedded, endpoints, history, pinging
from rtk.models.asking import Ask, Gathered
from rtk.models.capabilities import Capabilities, capabilities
from rtk.models.endpoints import Way
from rtk.models.fields import OWN, heard, refuse_dropped, refuse_fixed, rollout_id
from rtk.models.outputs import outputs, reply_body, usage
from rtk.models.pinging import Ping
from rtk.models.prices import hourly, pricing
from rtk.models.retries import retries as patience
from rtk.models.source import Source
from rtk.models.streaming import agather_aloud, gather_aloud
from rtk.models.wire import Transport
from rtk.models.wrapped import WrappedWire
from rtk.samples import Request, Stream, addresses, current_stream, of_connection, outside_a_request, usual_temperature
from rtk.store import SampleStore, current_recording

_DSPYS = ("engine", "finetuning_model", "launch_kwargs", "train_kwargs", "provider")  # of no meaning to rtk.LM
_USUAL = {"gguf": None, "server_n": None, "transport": "auto", "price": None, "price_per_hour": None, "params": None,
          "deadline": None, "concurrency": 16, "slots": embedded.SLOTS, "context": embedded.CONTEXT}  # fmt: skip


class LM(dspy.LM):
    """A language model whose completions are drawn once, stored at their addresses and read ever after.

    Use it wherever a `dspy.LM` is used. Asking for 8 samples and then for 16 draws 8 more; asking again draws none.
    A plain call `lm(prompt, n=8)` gives samples 0–7 of the stream it runs in, every time.

    >>> lm = rtk.LM("embedded")  # doctest: +SKIP
    >>> dspy.configure(lm=lm)  # doctest: +SKIP

    Args:
        model: `"embedded"`, or a LiteLLM model string: `"ollama_chat/NAME"`, `"hosted_vllm/NAME"`, `"openai/NAME"`
            with `api_base=`, or a hosted provider's.
        store: a `SampleStore`, or the folder of one; the default is `RTK_CACHE`, else the user's cache folder.
        concurrency: requests in flight at once.
        server_n: whether one request may ask for several samples; None finds out, once for this LM and its copies.
        transport: `"auto"`, `"direct"` (rtk speaks to the endpoint itself) or `"litellm"`.
        gguf: with `"embedded"`, other weights.
        slots: with `"embedded"`, samples computed side by side.
        context: with `"embedded"`, tokens that one sample and its prompt may have together.
        revision: tells models of one name apart, where an endpoint changes what it serves.
        price: dollars per million tokens, (read, written), where LiteLLM's list has none.
        price_per_hour: in place of that, dollars per hour of a machine that this LM has to itself: its time is paid for
            while samples are in flight, which share it evenly.
        params: the model's parameters, such as `8e9`, of experts those active: with them `Spent.flops` is known. The
            embedded model's are read from its file.
        temperature: 0.7 unless given; 1.0 for OpenAI's reasoning models, which take no other.
        cache: False draws anew every time and stores nothing.
        num_retries: how often a failed request is asked again; 0 asks once. `retries=` says the same.
        deadline: seconds that a sample may take in all, further tries and the waits between them included; one that
            takes longer is missing, of the kind `"timeout"`. A single try may take `timeout=` seconds, 600 by default.
        **kwargs: as of `dspy.LM`: the connection (`api_key`, `api_base`, `headers`, `timeout`), and defaults of
            sampling parameters.

    Raises:
        ModelError: for a model or setting that cannot be.
        UnsupportedParameter: for a setting that would have no effect.
    """

    def __init__(
        self,
        model: str,
        model_type: str = "chat",
        temperature: float | None = None,
        max_tokens: int | None = None,
        cache: bool = True,
        callbacks: list[Any] | None = None,
        num_retries: int = 3,
        *,
        store: SampleStore | str | Path | None = None,
        concurrency: int = 16,
        server_n: bool | None = None,
        transport: Way = "auto",
        gguf: str | Path | None = None,
        slots: int = embedded.SLOTS,
        context: int = embedded.CONTEXT,
        revision: str | None = None,
        price: tuple[float, float] | None = None,
        price_per_hour: float | None = None,
        params: float | None = None,
        retries: int | None = None,
        deadline: float | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(model, str) or not model:
            raise ModelError(f"{model!r} names no model", mend="for example rtk.LM('embedded')")
        if model_type != "chat":
            raise ModelError(
                f"rtk.LM speaks chat, not {model_type!r}", mend="use dspy.LM, and rtk.LM.of(lm) to store it"
            )
        if concurrency < 1:
            raise ModelError(f"concurrency={concurrency} lets no request through", mend="pass 1 or more")
        if price is not None and price_per_hour is not None:
            raise ModelError("a price by the token and one by the hour", mend="pass price= or price_per_hour=")
        asked_again = patience(num_retries, retries, deadline)
        client = {name: kwargs.pop(name) for name in list(kwargs) if of_connection(name)}
        client = {name: value for name, value in client.items() if value is not None}
        kwargs = heard(kwargs)
        refuse_dropped(kwargs)
        if temperature is None:
            temperature = usual_temperature(model)
        self._temperature = temperature
        super().__init__(
            model, "chat", temperature, max_tokens, cache, callbacks, asked_again.attempts, engine="litellm", **kwargs
        )
        self.revision = revision
        self.wrapped: dspy.BaseLM | None = None
        self._rebuild = {
            "gguf": str(gguf) if gguf else None, "server_n": server_n, "transport": transport, "price": price,
            "price_per_hour": price_per_hour, "params": params, "deadline": deadline, "concurrency": concurrency,
            "slots": slots, "context": context,
        }  # fmt: skip
        self._source = Source(
            _opener(model, client, transport, server_n, gguf, slots, context),
            identity=_identity(model, gguf, revision),
            price=pricing(model, price, free=embedded.is_embedded(model), own=_is_own(model, client)),
            machine=hourly(price_per_hour),
            parameters=_parameters(model, gguf, params),
            store=SampleStore(store) if isinstance(store, (str, Path)) else store,
            keep=cache,
            concurrency=concurrency,
            server_n=server_n,
            retries=asked_again,
        )

    @classmethod
    def of(cls, lm: dspy.BaseLM, **kwargs: Any) -> LM:
        """Another LM as an `rtk.LM`: it still makes the calls; its completions get addresses and are stored.

        Args:
            lm: any `dspy.BaseLM`; an `rtk.LM` is returned as it is.
            **kwargs: `store`, `cache`, `concurrency`, `revision`, `price`, `price_per_hour`, `params`, `deadline`: as
                of `rtk.LM`. Its retries are its own business.
        """
        if isinstance(lm, LM):
            return lm
        scripted = isinstance(lm, DummyLM)  # gives its replies one after the other, whatever the temperature says
        kwargs.setdefault("concurrency", 1 if scripted else 16)
        kwargs.setdefault("price", (0, 0) if scripted and "price_per_hour" not in kwargs else None)
        defaults = {k: v for k, v in getattr(lm, "kwargs", {}).items() if not outside_a_request(k)}
        defaults.setdefault("max_tokens", defaults.pop("max_completion_tokens", None))
        temperature = defaults.pop("temperature", None)
        temperature = 1.0 if scripted else temperature
        made = cls(lm.model, temperature=temperature, transport="litellm", **{**defaults, **kwargs})
        made.wrapped = lm
        process = os.getpid()
        made._source = made._source.through(lambda: WrappedWire(lm, kwargs["concurrency"], process))
        return made

    def ping(self, *, deadline: float = 120.0) -> Ping:
        """Ask the model for real whether it answers, what it honours (`n`, `seed`, `logprobs`, …) and how fast it is.

        Nine short samples, which no store or recording is asked for or told of, and which the budgets in force are
        charged for. An endpoint that does not answer is no error: the `Ping` says so, and what to do about it.

        Args:
            deadline: seconds in all; what is not known by then is None. A server may have to load the model first.
        """
        return pinging.ping(self, lost, deadline)

    async def aping(self, *, deadline: float = 120.0) -> Ping:
        """The same, awaited."""
        return await pinging.aping(self, lost, deadline)

    def through(self, transport: Transport) -> LM:
        """A copy of this LM whose requests go another way: to a transport of your own. It keeps and reads nothing."""
        made = self.copy(cache=False)
        made.wrapped, made._source = None, self._source.through(lambda: transport)
        return made

    # --- what DSPy calls ---

    @with_callbacks
    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Completions as DSPy expects them: a list of texts, or of dicts where there is more than text.

        Under `dspy.streamify` a single sample is sent on while it is drawn, and kept as ever. One that is in the store
        or the recording is sent word by word, so that listeners see its fields too. Where a stream breaks off and the
        model, asked again, says something else, a `StatusMessage` says so, and nothing more is sent before the
        prediction. Several samples come whole, and a warning says why. Tool calls come with the prediction.

        Raises:
            SampleError: where a sample of those asked for did not come; its `arrived` are those that did. They are
                kept, so asking again draws the missing ones alone. (A strategy carries on with fewer.)
            UnsupportedParameter: for a parameter that would not reach the model.
            BudgetSpent: where a budget this call runs under is spent.
            EndpointError: where the endpoint will never answer.
        """
        ask = self._asked(prompt, messages, kwargs)
        return self._answer(prompt, ask, gather_aloud(ask), kwargs)

    @with_callbacks
    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """The same, awaited; it shares its samples with the sync call."""
        ask = self._asked(prompt, messages, kwargs)
        return self._answer(prompt, ask, await agather_aloud(ask), kwargs)

    def _asked(self, prompt: Any, messages: Any, kwargs: dict[str, Any]) -> Ask:
        if isinstance(prompt, TypedRequest):
            kwargs = {**request_kwargs(prompt, "chat"), **kwargs}
            messages = kwargs.pop("messages")
        elif messages is None and prompt is not None:
            messages = [{"role": "user", "content": prompt}]
        merged = {**self.kwargs, **kwargs}
        given = [merged[name] for name in ("n", "num_generations") if merged.get(name) is not None]
        return self.ask(messages or (), kwargs, count=given[0] if given else 1)

    def _answer(self, prompt: Any, ask: Ask, gathered: Gathered, kwargs: dict[str, Any]) -> Any:
        samples = gathered.samples
        if samples:
            self.record(ask, gathered, None if isinstance(prompt, TypedRequest) else prompt, kwargs)
        if gathered.stopped:
            raise BudgetSpent(gathered.stopped, gathered.budget, samples)
        if gathered.missing or not samples:
            raise lost(self.model, gathered)
        if isinstance(prompt, TypedRequest):
            return response_value(reply_body(self.model, samples[:1]), "chat", prompt)
        return outputs(samples, logprobs=bool(ask.request.options.get("logprobs")))

    # --- what strategies call ---

    def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
        *,
        start: int = 0,
        count: int = 1,
        stream: Stream | None = None,
        request: Request | None = None,
    ) -> Ask:
        """An ask for samples `start` … `start + count - 1` of a request, in a stream (the current one by default).

        Args:
            messages: what is said.
            options: sampling parameters.
            start: the first index.
            count: how many.
            stream: where they are drawn.
            request: what `request` makes of these messages and options, where that is known.

        Raises:
            UnsupportedParameter: for a field that would not reach the model.
            ModelError: for a count that is no number from 1 on.
        """
        if isinstance(count, bool) or not isinstance(count, Integral) or int(count) < 1:
            raise ModelError(f"n={count!r} is no number of samples", mend="ask for 1 or more")
        if not messages:
            raise ModelError("nothing was asked", mend="lm('a question'), or lm(messages=[…])")
        merged = {**self.kwargs, **options}
        refuse_dropped(merged)
        keep = bool(merged.get("cache", True)) and self.cache and self._source.keep
        request = request or self.request(messages, merged)
        where = (stream or current_stream()).apart(rollout_id(merged.get("rollout_id")))
        return Ask(
            self._source, request, addresses(request, where, start, int(count)), self._ceiling(request),
            current_budgets(), watchers(), keep, current_recording(), _adapter(), hearers(),
        )  # fmt: skip

    def request(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Request:
        """The request that these messages and options make with this model."""
        name = "embedded" if embedded.is_embedded(self.model) else self.model
        given = {k: value for k, value in options.items() if value is not None and k not in OWN}
        given = {"temperature": self._temperature, **given}
        if name == "embedded":
            given = embedded.options(given)
        return Request.of(name, messages, given, self._source.identity)

    def _ceiling(self, request: Request) -> Ceiling:
        if not current_budgets():
            return Ceiling()
        options, price = request.options, self._source.price if _counts_dollars() else None
        options |= options.get("extra_body") or {}
        most = options.get("max_tokens") or options.get("max_completion_tokens") or options.get("num_predict")
        bound = len(request.body.encode()) + 16 * len(request.messages)  # a token is a byte at least
        return Ceiling(bound, most, price.read if price else None, price.written if price else None)

    def record(self, ask: Ask, gathered: Gathered, prompt: Any, kwargs: Mapping[str, Any]) -> None:
        """Tell DSPy's usage tracker and history what was drawn; what was reused costs nothing again."""
        if self.wrapped is not None:
            return  # it has told them itself
        drawn = gathered.drawn
        if dspy.settings.usage_tracker and drawn:
            dspy.settings.usage_tracker.add_usage(self.model, usage(drawn))
        if not dspy.settings.disable_history:
            self.update_history(history.entry(self.model, ask, gathered.samples, drawn, prompt, kwargs))

    # --- copies and saving ---

    @property
    def store(self) -> SampleStore:
        """Where the samples are kept."""
        return self._source.store

    @property
    def params(self) -> float | None:
        """The model's parameters, where they are known."""
        return self._source.parameters

    @property
    def price(self) -> tuple[float, float] | None:
        """Dollars per million tokens (read, written), where they are known."""
        found = self._source.price
        return None if found is None else (found.read * 1e6, found.written * 1e6)

    def copy(self, **kwargs: Any) -> LM:
        """A copy with other defaults (`temperature`, `rollout_id`, `n`, …), over the same connection and store.

        Raises:
            UnsupportedParameter: for what makes another model, connection or store of it.
        """
        refuse_fixed(kwargs)
        return super().copy(**kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> LM:
        twin = memo[id(self)] = self.copy()
        return twin

    def __repr__(self) -> str:
        return f"rtk.LM({self.model!r})"

    def dump_state(self) -> dict[str, Any]:
        """What rebuilds this LM elsewhere, without its connection; of a wrapped LM, what rebuilds that one."""
        if self.wrapped is not None:
            return self.wrapped.dump_state()
        given = {name: value for name, value in self._rebuild.items() if value != _USUAL[name]}
        given |= {"price": list(self._rebuild["price"])} if "price" in given else {}  # as JSON has it
        state = {
            name: value for name, value in super().dump_state().items() if name not in _DSPYS and value is not None
        }
        return {**state, **given, **({"revision": self.revision} if self.revision else {})}

    # --- capabilities, as adapters read them ---

    @property
    def engine(self) -> Capabilities:
        """What the model can do, where DSPy looks for what an engine of the user's declares; nothing else is read."""
        return capabilities(self.model)


def lost(model: str, gathered: Gathered) -> SampleError:
    """The error of an ask of which not every sample came."""
    samples, missing = gathered.samples, gathered.missing
    first, kinds = (missing[0] if missing else None), sorted({one.kind for one in missing})
    which = f"{len(missing)} of {len(gathered.results)} samples of {model} did not come"
    return SampleError(
        (which if samples else f"no sample of {model} came") + (f" ({first})" if first else ""),
        mend=_mend_of(first.kind if first else ""),
        kind=kinds[0] if len(kinds) == 1 else first.kind if first else "failed",
        arrived=samples,
    )


def _mend_of(kind: str) -> str:
    if kind == "context":
        return "shorten the prompt or max_tokens, or raise context="
    if kind == "timeout":
        return "give rtk.LM a longer timeout= (seconds of a try) or deadline= (of all), or ask again: what came is kept"
    if kind in ("status_400", "status_405", "status_413", "status_422"):
        return "the endpoint will not take this request as it is: change what its message names"
    return "ask again: what did come is kept and is not drawn twice"


def _counts_dollars() -> bool:
    return any("dollars" in budget.limits for budget in current_budgets())


def _opener(model: str, client: dict, way: Way, server_n: bool | None, gguf: Any, slots: int, context: int) -> Any:
    if embedded.is_embedded(model):
        unheard = sorted(client) + (["transport"] if way != "auto" else [])
        if unheard:
            raise UnsupportedParameter(
                f"{', '.join(unheard)} would have no effect: {model!r} runs in this process",
                mend="leave it out, or name the model at that endpoint, such as openai/NAME with api_base=",
            )
        return lambda: embedded.EmbeddedWire(model, gguf, slots, context)
    if gguf is not None:
        raise ModelError(f"gguf= goes with 'embedded', not with {model!r}", mend="rtk.LM('embedded', gguf=PATH)")
    return endpoints.transport(model, client, way, server_n)


def _is_own(model: str, client: dict[str, Any]) -> bool:
    """Whether it runs on a server named by its address."""
    return not embedded.is_embedded(model) and endpoints.endpoint(model, client) is not None


def _parameters(model: str, gguf: Any, given: float | None) -> float | None:
    if given is None:
        return embedded.parameters(model, gguf) if embedded.is_embedded(model) else None
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given < math.inf:
        raise ModelError(f"params={given!r} is no number of parameters", mend="for example params=8e9")
    return given


def _identity(model: str, gguf: Any, revision: str | None) -> dict[str, Any]:
    found = embedded.identity(model, gguf) if embedded.is_embedded(model) else {}
    return found | ({"revision": revision} if revision else {})


def _adapter() -> str:
    """The DSPy adapter in use, by name."""
    adapter = dspy.settings.adapter
    return dspy.ChatAdapter.__name__ if adapter is None else type(adapter).__name__
