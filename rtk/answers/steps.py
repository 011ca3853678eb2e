"""A chain of reasoning, as models really write it, taken apart into its steps."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

THINKING = re.compile(r"</?(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
"""The tags between which models of several families reason."""

_NUMBER = re.compile(r"[*_]{0,3}\(?[0-9]{1,3}[.):][*_]{0,3}(?=\s|$)")
_STEP = re.compile(r"(?:#{1,6}\s*)?[*_]{0,3}(?:step|schritt|étape|paso|passo|шаг)\s{0,3}#?[0-9]{1,3}\b", re.IGNORECASE)
_STEP_CJK = re.compile(r"[#*\s]{0,8}(?:第\s?[0-9一二三四五六七八九十]{1,3}\s?步|步骤\s?[0-9一二三四五六七八九十]{1,3})")
_NUMBERED_HEADING = re.compile(r"#{1,6}\s*[*_]{0,3}[0-9]{1,3}[.):]")
_HEADING = re.compile(r"#{1,6}\s|(?:\*\*|__)[^*_]{1,120}:?(?:\*\*|__):?\s*$")
_LAST = re.compile(r"#|[*_]+(?:the )?(?:final|answer|conclusion|result|check|verif)", re.IGNORECASE)
_BULLET = re.compile(r"[-*+•‣▪●–]\s")
_RULE = re.compile(r"[-*_=]{3,}$|(?:[-*_] ){2,}[-*_]$")
_FIRST = re.compile(r"\s{0,20}(Step |\(?)([0-9]{1,3})([.):])")
_FENCE = re.compile(r"`{3,}|~{3,}")
_CLOSERS = {"\\[": "\\]", "$$": "$$", "\\begin{": "\\end{"}
_GOES_ON = re.compile(r"[=+×*/÷≈<>≤≥&|]|[a-zà-öø-ÿа-я]")
_ENDS = re.compile(r"[.!?:;。！？：；…]['\"”’»)\]*_]{0,4}$")
_GAP = re.compile(r"\s+|(?<=[。！？])(?=[^\s。！？”’」』）])")
_CLOSED = re.compile(r"[.!?…。！？][\"'”’»」』)\]*_}$]{0,4}$")
_BEGINS = re.compile(r"[^\W_a-zß-öø-ÿ]|[\"'“‘«(\[*_$`\\√#]")
_ABBREVIATED = re.compile(
    r"(?:^|[\s(\[\"'“])(?:e\.g|i\.e|etc|cf|vs|viz|approx|resp|incl|ca|al|mr|mrs|ms|dr|prof|st|no|nos|nr|eq|eqs|fig|figs"
    r"|sec|ch|vol|pp?|min|max|avg|sq|ft|lbs?|oz|jr|sr|inc|co|ltd|u\.s|a\.m|p\.m|z\.b|d\.h|bzw|[A-Z])\.$",
    re.IGNORECASE,
)
_MARKED = re.compile(r"\s*[*_#]{0,3}\(?(?:[0-9]{1,3}|[a-zA-Z])[.)]$")
_INSIDE = re.compile(r"\\\(|\\\)|`|(?<![\\$])\$(?!\$)")

_OUTER, _ITEM, _TITLE, _PLAIN = "outer", "item", "title", "plain"


@dataclass
class _Block:
    """Lines that belong together: a marked step with what is under it, or a piece of prose."""

    kind: str
    lines: list[str] = field(default_factory=list)
    indent: int = 0
    bullet: bool = False
    whole: bool = False  # holds a formula or code, so that nothing may be split

    @property
    def bare(self) -> bool:
        """Whether it is a title and nothing else as yet."""
        return len(self.lines) == 1 and (self.kind == _TITLE or _is_title(self.lines[0]))


def steps(text: str) -> list[str]:
    """The steps of a chain of reasoning, in order; what is written between them belongs to the step before.

    Read are numbered steps (`1.`, `2)`, `Step 3:`, `**Step 4**`, `### Step 5`), bullets (those nested in a step stay in
    it), headings (with what they head), and prose (a sentence is a step, and so is a line). Where a model writes
    `<think>` blocks, closed or not, their inside is steps like the rest. Code fences and displayed formulas are
    not split, nor are formulas in a sentence, decimals and abbreviations. No word is lost or moved: only tags,
    ruled lines and blanks between the steps are left out. The time it takes grows with the length of the text.
    """
    found: list[list[str]] = []
    worded = True  # whether the last step holds a word: stars and the like do not make one
    for block in _blocks(text):
        pieces = _apart("\n".join(block.lines)) if block.kind != _PLAIN or block.whole else _sentences(block.lines)
        for piece in filter(None, map(str.strip, pieces)):
            words = any(map(str.isalnum, piece))
            if found and not (words and worded):
                found[-1].append(piece)
                worded = worded or words
            else:
                found.append([piece])
                worded = words
    return [" ".join(parts) for parts in found]


def thinking(text: str) -> tuple[str, str]:
    """What a model wrote within thinking tags before its reply, and the reply; no thinking where there are no tags.

    A block that stays open ends with the text; one that only closes began with it, as chat templates have it.
    """
    tags = list(THINKING.finditer(text))
    if not tags:
        return "", text
    opens = tags[0] if not tags[0][0].startswith("</") and not text[: tags[0].start()].strip() else None
    closes = next((tag for tag in tags if tag[0].startswith("</")), None)
    if opens is None and closes is None:
        return "", text
    start = opens.end() if opens is not None else 0
    return (text[start:], "") if closes is None else (text[start : closes.start()], text[closes.end() :])


# --- blocks ---


def _blocks(text: str) -> Iterator[_Block]:
    """The text's blocks, in order."""
    block, blank = _Block(_PLAIN), True
    for lines in _units(text):
        if not lines:
            yield block
            block, blank = _Block(_PLAIN), True
            continue
        if not lines[0].strip():
            blank = True
            continue
        new = _begun(lines[0]) if len(lines) == 1 else _Block(_PLAIN)
        if _within(block, new, lines, blank):
            block.lines += lines
        else:
            yield block
            block = new
            block.lines = [*lines]
        block.whole = block.whole or len(lines) > 1
        blank = False
    yield block


def _begun(line: str) -> _Block:
    """The block that a line would begin."""
    shown = line.lstrip()
    indent = len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())
    if _STEP.match(shown) or _STEP_CJK.match(shown) or _NUMBERED_HEADING.match(shown):
        return _Block(_OUTER, indent=indent)
    if _HEADING.match(shown):
        return _Block(_TITLE, indent=indent)
    if _NUMBER.match(shown):
        return _Block(_ITEM, indent=indent)
    if _BULLET.match(shown):
        return _Block(_ITEM, indent=indent, bullet=True)
    return _Block(_PLAIN, indent=indent)


def _within(block: _Block, new: _Block, lines: list[str], blank: bool) -> bool:
    """Whether what a line begins goes on with the block before it."""
    if not block.lines:
        return False
    if new.kind == _OUTER:
        return False
    if block.kind == _OUTER:
        return new.kind != _TITLE or not _LAST.match(lines[0].lstrip())
    if new.kind == _TITLE:
        return False
    if block.bare and block.kind == _TITLE:
        return True
    if new.kind == _ITEM:
        return block.kind == _ITEM and (new.indent > block.indent + 1 or (new.bullet and not block.bullet))
    if block.kind == _ITEM:
        return not blank or block.bare or new.indent > block.indent or _leads_on(block.lines[-1], lines)
    if len(lines) > 1 or block.whole:
        return _leads_on(block.lines[-1], lines) if len(lines) > 1 else False
    return not blank and block.kind == _PLAIN


def _leads_on(before: str, lines: list[str]) -> bool:
    """Whether a formula or code belongs to the line before it."""
    return len(lines) > 1 and not re.search(r"[.!?。！？][*_)\"']{0,3}$", before.rstrip()[-8:])


def _is_title(line: str) -> bool:
    shown = line.strip()
    return len(shown) < 160 and (shown.endswith((":", ":**", "**", "：")) or bool(_NUMBER.fullmatch(shown)))


def _units(text: str) -> Iterator[list[str]]:
    """The lines, one by one; those of a fence or a displayed formula together; nothing where a tag or a rule stood."""
    lines = text.splitlines()
    ends = {closer: [i for i, line in enumerate(lines) if closer in line] for closer in set(_CLOSERS.values())}
    at = 0
    while at < len(lines):
        line, shown = lines[at], lines[at].strip()
        end = _fence_end(lines, at) if _FENCE.match(shown) else _formula_end(shown, ends, at)
        if end > at:
            yield [*lines[at : end + 1]]
        elif THINKING.search(line):
            for number, piece in enumerate(THINKING.split(line)):
                yield from ([[], [piece]] if number else [[piece]])
        elif _RULE.match(shown):
            yield []
        else:
            yield [line]
        at = max(end, at) + 1


def _fence_end(lines: list[str], at: int) -> int:
    """The line that closes a fence; the last one where none does."""
    mark = lines[at].strip()[:3]
    for end in range(at + 1, len(lines)):
        if lines[end].strip().startswith(mark):
            return end
    return len(lines) - 1


def _formula_end(shown: str, ends: dict[str, list[int]], at: int) -> int:
    """The line that closes a displayed formula which this one opens; the line itself where there is none."""
    opener = next((one for one in _CLOSERS if one in shown), None)
    if opener is None:
        return at
    closer = _CLOSERS[opener]
    after = shown.rpartition(opener)[2] if opener != "$$" else ""
    if closer in after or (opener == "$$" and shown.count("$$") % 2 == 0):
        return at
    later = bisect_left(ends[closer], at + 1)
    return ends[closer][later] if later < len(ends[closer]) else at


# --- prose ---


def _apart(text: str) -> Iterator[str]:
    """A marked step; where the next ones stand in the same lines, as in `1. Add. 2. Divide.`, each of them."""
    first = _FIRST.match(text)
    if first is None:
        yield text
        return
    start, number = 0, int(first[2])
    while number < 1000:
        number += 1
        mark = re.escape(f"{first[1]}{number}{first[3]}")
        found = re.compile(rf"(?<=[.!?;:]) (?={mark}\s)").search(text, start)
        if found is None or "\n" in text[start : found.start()]:
            break
        yield text[start : found.start()]
        start = found.end()
    yield text[start:]


def _sentences(lines: list[str]) -> Iterator[str]:
    """The sentences of a paragraph. A line is one, too, unless the next one goes on with it."""
    run: list[str] = []
    for line in lines:
        if run and not _continues(run[-1], line):
            yield from _split("\n".join(run))
            run = []
        run.append(line)
    if run:
        yield from _split("\n".join(run))


def _continues(before: str, line: str) -> bool:
    before, line = before.rstrip(), line.lstrip()
    if before.startswith("|") and line.startswith("|"):
        return True
    return bool(_GOES_ON.match(line)) and not _ENDS.search(before[-6:])


def _split(text: str) -> Iterator[str]:
    inside = _formulas(text)
    start, at = 0, 0
    for gap in _GAP.finditer(text):
        while at < len(inside) and inside[at][1] <= gap.start():
            at += 1
        if at < len(inside) and inside[at][0] < gap.start():
            continue
        if _parts(text, start, gap):
            yield text[start : gap.start()]
            start = gap.end()
    yield text[start:]


def _parts(text: str, start: int, gap: re.Match[str]) -> bool:
    """Whether a sentence ends at a gap."""
    before = text[max(start, gap.start() - 16) : gap.start()]
    if not _CLOSED.search(before) or not _BEGINS.match(text, gap.end()):
        return False
    if _ABBREVIATED.search(before):
        return False
    return not (gap.start() - start < 12 and _MARKED.fullmatch(text[start : gap.start()]))


def _formulas(text: str) -> list[tuple[int, int]]:
    """Where formulas and code stand in a sentence. A dollar opens one only where it can close one, as Pandoc reads."""
    found: list[tuple[int, int]] = []
    opened: tuple[str, int] | None = None
    for mark in _INSIDE.finditer(text):
        sign, at = mark[0], mark.start()
        if opened is None:
            if sign == "$" and (text[at + 1 : at + 2] or " ").isspace():
                continue
            opened = None if sign == "\\)" else (sign, at)
        elif sign == {"\\(": "\\)"}.get(opened[0], opened[0]) and _closes(text, sign, at):
            found.append((opened[1], mark.end()))
            opened = None
        elif sign == "$" and opened[0] == "$":
            opened = (sign, at)  # a price before; this one may open
    return found


def _closes(text: str, sign: str, at: int) -> bool:
    return sign != "$" or not (text[at - 1].isspace() or text[at + 1 : at + 2].isdigit())
