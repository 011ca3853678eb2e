"""The model that rtk brings along: llama.cpp in this process, spoken to over its own loopback port."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rtk.errors import ModelError
from rtk.models import weights
from rtk.models.engine import NEUTRAL_SAMPLING, Engine, engine
from rtk.models.http import Pool
from rtk.models.openai_wire import OpenAIWire
from rtk.models.wire import Completion
from rtk.samples import Address, Request

MAX_TOKENS = 512
SLOTS = 8
CONTEXT = 2048


def is_embedded(model: str) -> bool:
    """Whether a model string names the embedded model."""
    return model == "embedded" or model.startswith("embedded/")


def identity(model: str, gguf: str | Path | None) -> dict[str, Any]:
    """What tells one embedded model from another: the SHA-256 of its weights. rtk's own need not be there for it.

    Raises:
        ModelError: for a name that is none of rtk's models.
        WeightsError: for a file that is no GGUF.
    """
    if gguf is not None:
        return {"gguf": weights.sha256(weights.check_gguf(gguf))}
    return {"gguf": weights.known_sha256(_name(model))}


def _name(model: str) -> str:
    name = model.partition("/")[2] or weights.names()[0]
    if name not in weights.names():
        raise ModelError(
            f"no embedded model is named {name!r}",
            mend=f"there is {', '.join(weights.names())}; any other GGUF runs with rtk.LM('embedded', gguf=PATH)",
        )
    return name


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling options as they are sent: llama.cpp's own defaults are switched off unless asked for."""
    return {"max_tokens": MAX_TOKENS, **NEUTRAL_SAMPLING, **given}


class EmbeddedWire:
    """The embedded model. The engine starts with the first request, so that what is stored needs no weights.

    Args:
        model: the model string.
        gguf: other weights.
        slots: samples computed side by side.
        context: tokens that one sample and its prompt may have together.
    """

    many: bool | None = True

    def __init__(self, model: str, gguf: str | Path | None, slots: int, context: int) -> None:
        self._model, self._gguf, self.most, self._context = model, gguf, slots, context
        self._wire: OpenAIWire | None = None
        self._engine: Engine | None = None
        self._starting = asyncio.Lock()

    async def complete(self, request: Request, addresses: Sequence[Address]) -> list[Completion]:
        """See `rtk.models.wire.Transport.complete`."""
        async with self._starting:
            if self._wire is None or self._engine is None or not self._engine.running:
                await self.close()
                self._engine = await asyncio.to_thread(self._start)
                self._wire = self._speaking_to(self._engine)
        found = await self._wire.complete(request, addresses)
        # llama.cpp gives the path of its file, which is nobody's business, and another one on every machine.
        served = f"gguf:{self._engine.sha256[:12]}"
        return [replace(one, served_model=served) for one in found]

    def _start(self) -> Engine:
        path = weights.check_gguf(self._gguf) if self._gguf is not None else weights.require(_name(self._model))
        return engine(path, slots=self.most, context=self._context)

    def _speaking_to(self, running: Engine) -> OpenAIWire:
        pool = Pool(self._model, running.url, {"Authorization": f"Bearer {running.api_key}"}, seconds=600)
        return OpenAIWire(self._model, pool, many=True, most=self.most, streamed=True)

    async def close(self) -> None:
        """Close the connections; the engine stays for others."""
        if self._wire is not None:
            await self._wire.close()
