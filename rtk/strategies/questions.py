"""The question that a program answers: its signature, where that is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dspy
from dspy.signatures.signature import ensure_signature

from rtk.errors import StrategyError
from rtk.strategies.sampling import predictor_of


def chain_of(on: Any) -> dspy.Module:
    """What a strategy samples: a module as it is, a chain of thought of a signature.

    Raises:
        StrategyError: for what is neither.
    """
    return on if isinstance(on, dspy.Module) else dspy.ChainOfThought(question(on))


def question(on: Any) -> Any:
    """A signature, or its text.

    Raises:
        StrategyError: for anything else, or a text that cannot be read as one.
    """
    cause = None
    if isinstance(on, str) or (isinstance(on, type) and issubclass(on, dspy.Signature)):
        try:
            return ensure_signature(on)
        except (ValueError, TypeError, SyntaxError) as error:
            cause = error
    said = f"{on.__name__} is a class" if isinstance(on, type) else f"{on!r:.80}"
    raise StrategyError(
        f"{said}: neither a signature nor a module" + (f" ({cause})" if cause else ""),
        mend="'question -> answer', a dspy.Signature, or a module such as dspy.Predict('question -> answer')",
    ) from cause


def inputs_of(given: Any) -> dict[str, Any]:
    """The inputs of a call, of a question as a dict of them or as a `dspy.Example`.

    Raises:
        StrategyError: for anything else, or an example that does not say which of its fields are inputs.
    """
    if isinstance(given, dspy.Example):
        if given._input_keys is None:
            raise StrategyError(
                "an example does not say which fields are inputs", mend='example.with_inputs("question")'
            )
        return given.inputs().toDict()
    if isinstance(given, Mapping):
        return dict(given)
    raise StrategyError(f"{given!r:.60} is no question", mend="a dict of inputs, or a dspy.Example")


def modules_of(program: dspy.Module) -> Iterator[tuple[str, dspy.Module]]:
    """A program and the modules within it, each once, as they are held, with where: `""`, `"judge"`, `"sides[0].a"`.

    As `program.named_sub_modules()`, which takes longer with every call: it looks through the history of every module.
    """
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", program)]
    while waiting:
        where, one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dspy.Module):
            yield where, one
        waiting += reversed([*_held(where, one)])


def _held(where: str, one: Any) -> Iterator[tuple[str, Any]]:
    """What a module, a list or a mapping holds, but for what its calls leave in it; a predictor holds nothing."""
    if isinstance(one, dspy.Predict):
        return
    if isinstance(one, dspy.Module):
        inside = ((name, value) for name, value in vars(one).items() if name not in ("history", "callbacks"))
        yield from ((f"{where}.{name}" if where else name, value) for name, value in inside)
    elif isinstance(one, (list, tuple)):
        yield from ((f"{where}[{place}]", value) for place, value in enumerate(one))
    elif isinstance(one, dict):
        yield from ((f"{where}[{key}]", value) for key, value in one.items())


def predictors_of(program: dspy.Module) -> list[dspy.Predict]:
    """The predictors of a program, each once, in the order in which it holds them."""
    return [one for _, one in modules_of(program) if isinstance(one, dspy.Predict)]


def takes(program: dspy.Module, name: str) -> bool:
    """Whether a predictor of a program has such an input field."""
    signatures: list[Any] = [one.signature for one in predictors_of(program)]
    return any(name in signature.input_fields for signature in signatures)


def signature_of(module: dspy.Module) -> Any:
    """The signature that a module answers, without reasoning: its own, else its first predictor's inputs and its last
    one's outputs.

    Raises:
        StrategyError: for a module without predictors.
    """
    own, predictor = getattr(module, "signature", None), predictor_of(module)
    if predictor is not None or isinstance(own, type):
        return without_reasoning(predictor.signature if predictor is not None else own)
    signatures: list[Any] = [one.signature for one in predictors_of(module)]
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


def unused(signature: Any, *names: str) -> tuple[str, ...]:
    """Names for further fields of a signature: these, all with as many underscores behind as it takes to be new."""
    end = ""
    while any(f"{name}{end}" in signature.fields for name in names):
        end += "_"
    return tuple(f"{name}{end}" for name in names)
