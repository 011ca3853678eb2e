"""The question that a program answers: its signature, where that is known."""

from __future__ import annotations

from typing import Any

import dspy

from rtk.errors import StrategyError
from rtk.strategies.sampling import predictor_of


def signature_of(module: dspy.Module) -> Any:
    """The signature that a module answers, without reasoning: its own, else its first predictor's inputs and its last
    one's outputs.

    Raises:
        StrategyError: for a module without predictors.
    """
    own, predictor = getattr(module, "signature", None), predictor_of(module)
    if predictor is not None or isinstance(own, type):
        return without_reasoning(predictor.signature if predictor is not None else own)
    signatures: list[Any] = [one.signature for _, one in module.named_predictors()]
    if not signatures:
        raise StrategyError(
            f"{type(module).__name__} has no predictors, so nobody knows what it answers",
            mend="pass a signature; a tree takes the module as propose=",
        )
    found = signatures[0]
    for name in list(found.output_fields):
        found = found.delete(name)
    for name, one in without_reasoning(signatures[-1]).output_fields.items():
        found = found.append(name, dspy.OutputField(desc=one.json_schema_extra.get("desc", "")), one.annotation)
    return found.delete("partial") if "partial" in found.input_fields else found


def without_reasoning(signature: Any) -> Any:
    """A signature less its output `reasoning`, where it has one."""
    return signature.delete("reasoning") if "reasoning" in signature.output_fields else signature
