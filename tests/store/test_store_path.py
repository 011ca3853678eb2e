"""Where a store lies, and folders that cannot hold one."""

import os
import shutil
from pathlib import Path

import pytest

import rtk
from rtk.errors import StoreError
from rtk.samples import Request, Sample, Stream, addresses
from rtk.store import SampleStore, default_path


def test_the_environment_names_the_store(monkeypatch, tmp_path):
    """`RTK_CACHE` wins; a relative path counts from the working folder, `~` and names are filled in."""
    monkeypatch.setenv("RTK_CACHE", str(tmp_path))
    assert default_path() == tmp_path
    assert SampleStore().path == tmp_path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RTK_CACHE", "here")
    assert default_path() == tmp_path / "here"
    monkeypatch.setenv("RTK_CACHE", "~/$RTK_TEST_NAME")
    monkeypatch.setenv("RTK_TEST_NAME", "scratch")
    assert default_path() == Path.home() / "scratch"


def test_a_checkout_keeps_its_own_store(monkeypatch):
    """Inside the repository the default is `cache/live`, which git ignores."""
    monkeypatch.delenv("RTK_CACHE", raising=False)
    root = Path(rtk.__file__).resolve().parent.parent
    assert default_path() == root / "cache" / "live"


def test_elsewhere_the_users_cache_folder_is_used(monkeypatch, tmp_path):
    """An installed rtk uses the platform's cache folder of the distribution's name."""
    monkeypatch.delenv("RTK_CACHE", raising=False)
    monkeypatch.setattr("rtk.shipped._HERE", tmp_path / "rtk")
    assert default_path().name == "rtk-inference"


def test_a_path_that_would_be_filled_in_twice_is_refused(monkeypatch, tmp_path):
    """diskcache fills in `$NAME` itself: a path in which one is left would lead elsewhere than was inspected."""
    monkeypatch.setenv("RTK_TEST_TWICE", "$HOME")
    with pytest.raises(StoreError, match="fill in"):
        SampleStore(tmp_path / "$RTK_TEST_TWICE")


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    """A folder with things in it keeps them."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.val").write_text("mine")
    (tmp_path / "paper.pdf").write_bytes(b"\0")
    with SampleStore(tmp_path) as store:
        assert store.count() == 0
    assert (tmp_path / "notes" / "a.val").read_text() == "mine"
    assert (tmp_path / "paper.pdf").exists()


def test_a_file_where_the_folder_should_be_is_an_error_with_a_mend(tmp_path):
    """A path that cannot be a folder says what to name instead."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        SampleStore(tmp_path / "file" / "store")
    assert "RTK_CACHE=" in caught.value.mend
    assert "store=" in caught.value.mend


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_read_only_folder_is_an_error_with_a_mend(tmp_path):
    """A folder without permission to write says what to name instead."""
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError) as caught:
        SampleStore(tmp_path)
    assert "RTK_CACHE=" in caught.value.mend


def test_a_folder_removed_while_open_is_made_anew(tmp_path):
    """SQLite would go on writing to the removed file, and everything drawn from then on would be lost."""
    folder = tmp_path / "store"
    request = Request.of("openai/small", [{"role": "user", "content": "2+2?"}], {"temperature": 0.7})
    samples = [Sample(address, "4") for address in addresses(request, Stream(), 0, 2)]
    with SampleStore(folder) as store:
        store.write(request, samples)
        shutil.rmtree(folder)
        assert store.count() == 0
        shutil.rmtree(folder)
        store.write(request, samples)
        assert SampleStore(folder).count() == 2
