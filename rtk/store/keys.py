"""What looks like a key: a file that is made to be shared must not hold one, wherever it came from."""

from __future__ import annotations

import re

from rtk.errors import RecordingError

_SHAPES = {
    "an OpenAI-style key": r"\bsk-(?:proj-|ant-|or-|svcacct-)?[A-Za-z0-9_-]{20,}",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}",
    "a Google key": r"\bAIza[0-9A-Za-z_-]{35}",
    "an AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})",
    "a Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{20,}",
    "a Groq key": r"\bgsk_[A-Za-z0-9]{40,}",
    "a bearer token": r"\bBearer\s+[A-Za-z0-9._~+/-]{20,}",
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
}
_KEY = re.compile("|".join(f"(?P<k{i}>{shape})" for i, shape in enumerate(_SHAPES.values())))
_MARKS = ("sk-", "hf_", "AIza", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "xox", "gsk_",
          "Bearer", "-----BEGIN ")  # fmt: skip
"""What each of the shapes holds, letter by letter. Nearly no line holds any, and looking for these takes no time."""


def refuse_keys(line: str, number: int) -> None:
    """Refuse a line that holds what looks like a key. The message says where it is and not what.

    Raises:
        RecordingError: naming the line.
    """
    found = _KEY.search(line) if any(mark in line for mark in _MARKS) else None
    if found is not None and found.lastgroup is not None:
        what = list(_SHAPES)[int(found.lastgroup[1:])]
        raise RecordingError(
            f"line {number} would hold what looks like {what} (character {found.start() + 1}); nothing was written",
            mend="take it out of the prompt and draw again, or leave that request out: store.export(path, where=…)",
        )
