"""Shipped files: found in the checkout, and nothing outside their folders is."""

import house
import pytest

from rtk.errors import RTKError
from rtk.shipped import FOLDERS, checkout, shipped


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_checkout_uses_its_own_files(folder):
    """Imported from a checkout, files come from the checkout's folders, as they are now."""
    assert shipped(folder) == house.ROOT / folder
    assert shipped(f"{folder}/README.md").is_file()


def test_the_checkout_is_known():
    """The root of the working copy is found by its project file."""
    assert checkout() == house.ROOT


@pytest.mark.parametrize("name", ["", "rtk/errors.py", "../widgets", "widgets/../pyproject.toml", "/etc/passwd"])
def test_other_files_are_refused(name):
    """A name outside the shipped folders is refused, with the folders in the mend."""
    with pytest.raises(RTKError, match="no file that comes with rtk") as caught:
        shipped(name)
    assert "widgets" in (caught.value.mend or "")


def test_a_missing_file_says_so():
    """A name that is not there is an error that says how to get it."""
    with pytest.raises(RTKError, match=r"no-such\.js"):
        shipped("widgets/no-such.js")
