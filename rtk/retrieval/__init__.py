"""Retrieval: passages for a question, from pairs of question and answer, a table, or a folder of texts.

Floor 2: imports store and the ground.
Knows no model, no strategy and no task.
"""

from rtk.retrieval.passages import Dropped, Passage
from rtk.retrieval.retriever import Retriever

__all__ = [
    "Dropped",
    "Passage",
    "Retriever",
]
