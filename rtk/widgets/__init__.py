"""Controls for a notebook: the Python half. The browser half lies in `widgets/`, under the same stems.

Floor 5: may import everything.
Knows no command line.
"""

from rtk.widgets.playground import Playground
from rtk.widgets.vote_view import VoteView

__all__ = ["Playground", "VoteView"]
