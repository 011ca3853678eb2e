"""Units behind written numbers: which words are some, what is counted, and which are of one kind."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


NO_UNIT = words(
    "and or so then is are was were be been which that this these those if we he she they you i it has have had but "
    "because since to by than with from gives give equals equal equaling get gets got makes make yields leaves "
    "would will can could should thus therefore hence plus minus times multiplied divided mod modulo squared cubed "
    "percent to get obtain dozen hundred thousand million billion trillion remainder rem r "
    "half twice double triple not"
)  # fmt: skip
TOUCHING = words("km cm mm kg mg ml mi g hr hrs min mins sec secs ft lb lbs oz mph kmh gb mb kb hours hour minutes")
PREPOSITIONS = words("in for on at as into after before every each now here during within out off over")
LETTERS = words("a A m s g h L l N J W V K C F °")  # words of one letter that are no variables

_FAMILIES = (
    "second sec s|minute min|hour hr h|day|week|month|year decade century",
    "mm millimeter millimetre|cm centimeter centimetre|m meter metre|km kilometer kilometre|inch|foot feet ft|yard"
    "|mile mi",
    "mg milligram|g gram|kg kilogram|oz ounce|lb pound|ton tonne",
    "ml milliliter millilitre|l liter litre|gallon|quart|pint|cup|tablespoon tbsp|teaspoon tsp",
    "cent ¢ penny pennie|dime|nickel|quarter|dollar buck",
    "kb|mb|gb|tb|byte|bit",
    "°|°c|°f|degree|radian",
)
MANY = words("pair couple dozen score set pack package case gross hundred thousand million billion k")


def head_of(words: list[str]) -> str:
    """What is counted: the last word before a `per` or another preposition, in the singular."""
    for at, word in enumerate(words):
        if at and word in ("per", "of", "in", "for", "each", "every", "a", "an", "on", "at", "as", "left", "total"):
            words = words[:at]
            break
    return singular(words[-1])


def singular(word: str) -> str:
    """A word without its plural's ending, as far as that can be told."""
    for ending, instead in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("sses", "ss")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + instead
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


SCALES = {
    singular(name): (kind, size)
    for kind, family in enumerate(_FAMILIES)
    for size, names in enumerate(family.split("|"))
    for name in names.split()
}
