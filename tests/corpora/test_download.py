"""Fetching: three kinds of source, and everything that may come wrong."""

import hashlib
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ernie_m.config.corpora import DatasetRow
from ernie_m.corpora.download import fetch
from ernie_m.errors import UserError

CONTENT = b"some text\n" * 1000


def row(**changes):
    facts = {
        "id": "own",
        "path": "own.txt",
        "version": "1",
        "filename": "own.txt",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "bytes": len(CONTENT),
        "licence": "CC0-1.0",
        "format": "homeassistant",
        "languages": ["en"],
        "home": "https://example.org",
    }
    return DatasetRow(**{**facts, **changes})


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source" / "own.txt"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def server(source):
    class Quiet(SimpleHTTPRequestHandler):
        failures = 1

        def do_GET(self):
            if type(self).failures:
                type(self).failures -= 1
                self.send_error(503)
            else:
                super().do_GET()

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=source.parent)) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/own.txt"
        http.shutdown()


def test_a_path_is_copied(source, tmp_path):
    fetch(row(path=str(source)), tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_an_address_is_tried_again(server, tmp_path):
    fetch(row(path=None, url=server), tmp_path / "target", pauses=(0.0,))
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_an_address_that_never_answers_is_reported(server, tmp_path):
    with pytest.raises(UserError, match=r"`own` could not be fetched: .*503"):
        fetch(row(path=None, url=server), tmp_path / "target", pauses=())


@pytest.mark.parametrize(
    ("promised", "message"), [(100, "more than 100 bytes"), (20_000, "only 10,000 of 20,000 bytes")]
)
def test_another_size_than_promised_is_refused(server, tmp_path, promised, message):
    with pytest.raises(UserError, match=message):
        fetch(row(path=None, url=server, bytes=promised), tmp_path / "target", pauses=(0.0,))


def test_a_package_comes_through_pip(tmp_path, monkeypatch):
    name = "own_text-1.0-py3-none-any.whl"
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / name, "w") as wheel:
        wheel.writestr(
            "own_text-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: own-text\nVersion: 1.0\nRequires-Python: >=99\n",
        )
        wheel.writestr("own_text-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        wheel.writestr("own_text-1.0.dist-info/RECORD", "")
    content = (index / name).read_bytes()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    wanted = row(
        path=None,
        package="own-text",
        version="1.0",
        filename=name,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    fetch(wanted, tmp_path / "target", pauses=())
    assert (tmp_path / "target").read_bytes() == content
    with pytest.raises(UserError, match="could not be fetched"):
        fetch(wanted.model_copy(update={"sha256": "0" * 64}), tmp_path / "other", pauses=())


def test_a_missing_path_is_reported(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        fetch(row(path=str(tmp_path / "absent")), tmp_path / "target")


def test_another_hash_is_refused(source, tmp_path):
    with pytest.raises(UserError, match="SHA-256"):
        fetch(row(path=str(source), sha256="0" * 64), tmp_path / "target")


def test_a_truncated_file_is_refused(source, tmp_path):
    source.write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match="9,999 bytes, the registry says 10,000"):
        fetch(row(path=str(source)), tmp_path / "target")
