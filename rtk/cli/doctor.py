"""`rtk doctor`."""


def doctor() -> None:
    """…"""
