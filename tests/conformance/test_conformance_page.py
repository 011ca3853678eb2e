"""The page on engines: its table is the one that the tests hold rtk to, and its lines are right."""

import ast
import re
from pathlib import Path

import pytest
from engines import EXPECTED, FEATURES, LIVE

import rtk
from rtk.errors import EndpointError

PAGE = (Path(rtk.__file__).parent / "models" / "ENGINES.md").read_text("utf-8")
LINES = [line for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
         for line in block.splitlines()]  # fmt: skip


def _cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_the_page_s_table_is_the_tests():
    """Row by row: what a reader is promised is what is tried here."""
    head, _, *rows = [_cells(line) for line in PAGE.splitlines() if line.startswith("|")]
    assert head == ["engine", *FEATURES]
    assert {row[0]: dict(zip(FEATURES, row[1:], strict=True)) for row in rows} == EXPECTED


@pytest.mark.parametrize("line", LINES)
def test_a_line_makes_an_lm_that_goes_where_the_page_says(line):
    """Local servers are spoken to directly, hosted models through LiteLLM; nothing is asked for that yet."""
    call = ast.parse(line.partition("  #")[0], mode="eval").body
    assert isinstance(call, ast.Call)
    assert ast.unparse(call.func) == "rtk.LM"
    (model,) = map(ast.literal_eval, call.args)
    settings = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg != "gguf"}
    lm = rtk.LM(model, **settings)
    assert lm.model == model
    if model.startswith("ollama_chat/") or "api_base" in settings:
        assert rtk.LM(model, **settings, transport="direct")
    elif model != "embedded":
        with pytest.raises(EndpointError, match="cannot be reached with"):
            rtk.LM(model, **settings, transport="direct")


def test_every_engine_has_its_paragraph():
    """Each row of the table has a heading, and the variables by which a real server is tried are named."""
    heads = " ".join(re.findall(r"^## (.*)$", PAGE, re.MULTILINE)).casefold()
    assert [name for name in EXPECTED if name.casefold() not in heads] == []
    assert {engine.variable for engine in LIVE} <= set(re.findall(r"RTK_TEST_[A-Z]+", PAGE))
