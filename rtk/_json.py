"""The one JSON text of a value: what requests and samples are addressed, compared and signed by.

Ground floor: imports the errors only.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import pydantic

from rtk.errors import UnsupportedParameter

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_AS_THEY_ARE = frozenset({str, int, bool, type(None)})
_IN_ORDER = frozenset({"extra_body", "functions", "properties", "response_format", "tools"})


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, `1.0` and `1` alike, no NaN.

    Inside JSON schemas and tools the keys keep their order: a model fills in a schema's properties as they stand.

    Raises:
        UnsupportedParameter: for a value that JSON cannot hold, or text that is not valid Unicode.
    """
    try:
        text = _encode(_plain(value))
        text.encode("utf-8")
    except (TypeError, ValueError, RecursionError, pydantic.PydanticUserError) as error:
        raise UnsupportedParameter(
            f"a request holds something that JSON cannot carry: {error}",
            mend="pass plain values: text, finite numbers, lists, dicts, or a pydantic model class as response_format",
        ) from error
    return text


def _plain(value: Any, in_order: bool = False) -> Any:
    if type(value) in _AS_THEY_ARE:  # most are: no look at what they inherit
        return value
    if isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value == int(value) else value
    if isinstance(value, (dict, Mapping)):  # a dict is known at once, any other mapping is searched for
        items = [(str(key), item) for key, item in value.items()]
        items = items if in_order else sorted(items, key=lambda pair: pair[0])
        return {key: _plain(item, in_order or key in _IN_ORDER) for key, item in items}
    if isinstance(value, (list, tuple)):
        return [_plain(item, in_order) for item in value]
    if isinstance(value, type) and issubclass(value, pydantic.BaseModel):
        schema = _plain(value.model_json_schema(), in_order=True)
        return {"type": "json_schema", "json_schema": {"name": value.__name__, "schema": schema, "strict": True}}
    if isinstance(value, pydantic.BaseModel):
        return _plain(value.model_dump(mode="json"), in_order)
    raise TypeError(f"{type(value).__name__} {value!r:.60}")


def escaped(text: str) -> str:
    """A text as it stands in canonical JSON, without its quotes."""
    return _encode(text)[1:-1]


def checksum(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, in hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
