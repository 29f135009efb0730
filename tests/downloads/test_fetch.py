"""Fetching: four kinds of source, and everything that may come wrong."""

import errno
import gzip
import hashlib
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import suppress
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from ernie_m.config.corpora import DatasetRow
from ernie_m.corpora.extract import reader_of
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.downloads import fetch as fetching
from ernie_m.downloads.fetch import PARTS, PAUSES, TIMEOUT, Wanted
from ernie_m.downloads.trust import TRUSTED, trusted_sha256
from ernie_m.errors import UserError
from ernie_m.job import Job
from ernie_m.records.writer import Account, made_record, open_record, write_record

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


class Server:
    """A file server on the loopback device that misbehaves as it is told, one way a request."""

    def __init__(self):
        self.faults = []
        self.ranges = True
        self.tag = '"v1"'
        self.content = CONTENT
        self.asked = []
        self.sent = 0
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.headers.get("Range"))
                outer.answer(self, outer.faults.pop(0) if outer.faults else None)

            def log_message(self, *words):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/own.txt"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler, fault):
        if isinstance(fault, int):
            return handler.send_error(fault)
        size, start, end = len(self.content), 0, len(self.content)
        wanted = handler.headers.get("Range") if self.ranges else None
        ranged = wanted and handler.headers.get("If-Range", self.tag) == self.tag
        if ranged:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or size) + 1, size)
        if start >= size:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{size}")
            handler.send_header("Content-Length", "0")
            return handler.end_headers()
        body, told = self.content[start:end], fault != "no length"
        handler.send_response(206 if ranged else 200)
        if ranged:
            place = start + 1 if fault == "another range" else start
            whole = size if told else "*"
            handler.send_header("Content-Range", f"bytes {place}-{end - 1}/{whole}")
        if self.tag:
            handler.send_header("ETag", self.tag)
        if told:
            length = len(body) + 50 * (fault == "wrong length")
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        sizes = {"cut": 3000, "stall": 3000, "hang": 300_000}
        self.send(handler, body[: sizes.get(fault)])
        if fault == "stall":
            time.sleep(0.6)
        if fault == "hang":
            self.released.wait(60)
        handler.close_connection = True
        return None

    def send(self, handler, body):
        """Until the other side has heard enough."""
        with suppress(ConnectionError):
            for place in range(0, len(body), 1 << 16):
                self.sent += handler.wfile.write(body[place : place + (1 << 16)])
            handler.wfile.flush()


@pytest.fixture
def server():
    started = Server()
    yield started
    started.released.set()
    started.http.shutdown()
    started.http.server_close()


def fetch(
    row, target, pauses=PAUSES, timeout=TIMEOUT, parts=PARTS, trusted=TRUSTED["corpora_download"]
):
    """Fetch a row; returns where the trusted digest came from."""
    result = f"results/corpora_download/{row.id}/original"
    wanted = Wanted(row, row.filename, result, trusted, parts, pauses, timeout)
    return fetching.fetch({target: wanted})[row.filename]


def get(tmp_path, pauses=(0.0,), **changes):
    """Fetch a changed row; returns where the trusted digest came from."""
    return fetch(
        row(**{"path": None, **changes}),
        tmp_path / "target",
        pauses,
        timeout=0.3,
        parts=tmp_path / "parts",
        trusted=tmp_path / "own.sha256",
    )


def test_a_path_is_copied(source, tmp_path):
    fetch(row(path=str(source)), tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_a_result_of_another_run_is_named_by_its_digest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Path("results/other/corpora_select/rows.parquet")
    made.parent.mkdir(parents=True)
    made.write_bytes(CONTENT)
    stage = ("ernie_m.corpora.select", "corpora_select", "")
    job = Account(*stage, {}, {"rows": [made]}, {}, 1, 1)
    record = made.with_name("record.json")
    write_record(made_record(job, record, open_record(job)), record)
    digest = hashlib.sha256(CONTENT).hexdigest()
    fetch(row(path=f"sha256:{digest[:12]}"), tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == CONTENT
    with pytest.raises(UserError, match="No results"):
        fetch(row(path="sha256:" + 64 * "0"), tmp_path / "target")


@pytest.mark.parametrize("fault", [503, 429, "cut", "stall", "wrong length"])
def test_a_passing_fault_is_overcome(server, tmp_path, fault):
    server.faults = [fault]
    assert get(tmp_path, url=server.url) == "registry"
    assert (tmp_path / "target").read_bytes() == CONTENT
    assert list((tmp_path / "parts").iterdir()) == []


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_the_next_try_asks_only_for_the_rest(server, tmp_path, fault):
    server.faults = [fault, fault]
    get(tmp_path, url=server.url)
    assert server.asked == [None, "bytes=3000-", "bytes=6000-"]


def test_a_killed_download_goes_on_where_it_was(server, tmp_path):
    server.faults = ["cut"]
    with pytest.raises(UserError, match="only 3,000 of 10,000 bytes"):
        get(tmp_path, url=server.url, pauses=())
    get(tmp_path, url=server.url, pauses=())
    assert server.asked == [None, "bytes=3000-"]
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_progress_gives_new_patience(server, tmp_path):
    server.faults = ["cut"] * 3
    get(tmp_path, url=server.url, pauses=(0.0,))
    assert len(server.asked) == 4


def test_a_server_without_ranges_sends_all_again_and_is_given_up_in_time(server, tmp_path):
    server.ranges = False
    server.faults = ["cut"]
    get(tmp_path, url=server.url)
    assert (tmp_path / "target").read_bytes() == CONTENT
    server.faults = ["cut"] * 20
    with pytest.raises(UserError, match="only 3,000"):
        get(tmp_path, url=server.url, pauses=(0.0, 0.0))
    assert len(server.faults) == 17


def test_a_new_version_upstream_is_not_glued_to_the_old_one(server, tmp_path):
    server.faults = ["cut"]
    with pytest.raises(UserError):
        get(tmp_path, url=server.url, pauses=())
    server.tag, server.content = '"v2"', CONTENT[::-1]
    get(tmp_path, url=server.url, sha256=None)
    assert (tmp_path / "target").read_bytes() == CONTENT[::-1]


def test_a_kill_before_the_first_block_of_a_new_version_glues_nothing(
    server, tmp_path, monkeypatch
):
    server.faults = ["cut"]
    with pytest.raises(UserError):
        get(tmp_path, url=server.url, pauses=())
    server.tag, server.content = '"v2"', CONTENT[::-1]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "open", throw_at_part)
        get(tmp_path, url=server.url, sha256=None)
    get(tmp_path, url=server.url, sha256=None)
    assert (tmp_path / "target").read_bytes() == CONTENT[::-1]


def throw(error):
    raise error


def throw_at_part(path, *given, whole=Path.open, **more):
    return throw(KeyboardInterrupt) if path.suffix == ".part" else whole(path, *given, **more)


def test_what_is_whole_but_was_not_moved_is_not_fetched_again(server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.move", lambda *paths: throw(KeyboardInterrupt))
        get(tmp_path, url=server.url)
    sent = len(server.asked)
    get(tmp_path, url=server.url)
    assert server.asked[sent:] == ["bytes=10000-"]
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_trouble_of_the_network_is_not_taken_for_the_disk(server, tmp_path, monkeypatch):
    troubles = [OSError(errno.EHOSTUNREACH, "No route to host"), ssl.SSLError("bad record")]
    whole = HTTPResponse.read1
    monkeypatch.setattr(
        HTTPResponse,
        "read1",
        lambda *given: throw(troubles.pop()) if troubles else whole(*given),
    )
    get(tmp_path, url=server.url, pauses=(0.0, 0.0))
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_a_line_that_was_left_open_is_not_glued_to_the_next(server, tmp_path):
    (tmp_path / "own.sha256").write_text("0" * 64 + "  results/corpora_download/other/original")
    unpinned = {"url": server.url, "sha256": None, "bytes": None}
    assert [get(tmp_path, **unpinned) for _ in range(2)] == ["first use", "earlier use"]
    assert (
        trusted_sha256("results/corpora_download/other/original", tmp_path / "own.sha256")
        == "0" * 64
    )


def test_without_a_validator_nothing_is_resumed(server, tmp_path):
    server.tag, server.faults = "", ["cut"]
    get(tmp_path, url=server.url)
    assert server.asked == [None, None]


def test_another_range_than_asked_for_is_refused(server, tmp_path):
    server.faults = ["cut", "another range"]
    get(tmp_path, url=server.url, pauses=(0.0, 0.0))
    assert server.asked == [None, "bytes=3000-", None]
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_dropped(server, tmp_path):
    server.faults = ["cut", 416]
    get(tmp_path, url=server.url, pauses=(0.0, 0.0))
    assert server.asked == [None, "bytes=3000-", None]


def test_what_is_not_there_is_not_asked_for_again(server, tmp_path):
    server.faults = [404] * 5
    with pytest.raises(UserError, match=r"own.txt could not be fetched: .*404"):
        get(tmp_path, url=server.url)
    assert len(server.asked) == 1


def test_a_mirror_helps_out(server, tmp_path):
    server.faults = [404]
    get(tmp_path, url=server.url, mirrors=(server.url + "?mirror",))
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_all_failures_are_named(server, tmp_path):
    server.faults = [404, 403]
    with pytest.raises(UserError, match=r"404.*; .*403"):
        get(tmp_path, url=server.url, mirrors=(server.url + "?mirror",))


def test_nobody_there(tmp_path):
    with pytest.raises(UserError, match="Connection refused"):
        get(tmp_path, url="http://127.0.0.1:9/own.txt")


@pytest.mark.parametrize(
    ("promised", "message"), [(100, "more than 100 bytes"), (20_000, "only 10,000 of 20,000 bytes")]
)
def test_another_size_than_promised_is_refused(server, tmp_path, promised, message):
    with pytest.raises(UserError, match=message):
        get(tmp_path, url=server.url, bytes=promised)
    assert not (tmp_path / "target").exists()


def test_what_came_first_is_trusted_and_then_demanded(server, tmp_path):
    unpinned = {"url": server.url, "sha256": None, "bytes": None}
    assert get(tmp_path, **unpinned) == "first use"
    assert get(tmp_path, **unpinned) == "earlier use"
    line = (tmp_path / "own.sha256").read_text()
    assert line == f"{hashlib.sha256(CONTENT).hexdigest()}  results/corpora_download/own/original\n"
    server.content = CONTENT[:-1]
    with pytest.raises(UserError, match=r"when it was first fetched .* it was") as raised:
        get(tmp_path, **unpinned)
    assert "take its line out of" in raised.value.fix


@pytest.mark.parametrize("about", [30_000, 4_000])
def test_an_error_page_is_not_trusted_as_the_first_download(server, tmp_path, about):
    with pytest.raises(UserError, match=f"10,000 bytes, the registry says about {about:,}"):
        get(tmp_path, url=server.url, sha256=None, bytes=None, about_bytes=about)
    assert not (tmp_path / "own.sha256").exists()


def test_the_record_says_that_the_first_use_was_trusted(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = row(path=None, url=server.url, sha256=None)
    job = Job("ernie_m.corpora.download", "own", settings, 1, 1, {}, {"file": [Path("original")]})
    fetching.download(job)
    assert job.notes == {"sha256_from": {"own.txt": "first use"}}
    assert Path("config/corpora.sha256").is_file()


def test_offline_nothing_is_fetched(server, tmp_path, monkeypatch):
    monkeypatch.setenv("ERNIE_M_OFFLINE", "1")
    with pytest.raises(UserError, match="ERNIE_M_OFFLINE forbids"):
        get(tmp_path, url=server.url)
    assert server.asked == []


def test_a_data_set_of_the_hub_comes_through_datasets(tmp_path):
    """`datasets` takes a folder for a repository of the hub."""
    folder = tmp_path / "sentences"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    wanted = row(path=None, hub="owner/name", filename="train.parquet", sha256=None, bytes=None)
    wanted = wanted.model_copy(update={"hub": str(folder), "version": None})
    fetch(wanted, tmp_path / "target", (), trusted=tmp_path / "own.sha256")
    assert parquet.read_table(tmp_path / "target")["text"].to_pylist() == ["one", "two"]


def test_a_data_set_that_the_hub_does_not_have_is_reported(tmp_path):
    wanted = row(path=None, hub="owner/name", filename="train.parquet", sha256=None, bytes=None)
    wanted = wanted.model_copy(update={"hub": str(tmp_path / "absent")})
    with pytest.raises(UserError, match="could not be fetched"):
        fetch(wanted, tmp_path / "target", ())


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


HEAD = 8000


def get_head(tmp_path, pauses=(0.0,), size=HEAD, timeout=0.3, **changes):
    """Fetch the head of a file of lines; returns where the trusted digest came from."""
    facts = {"format": "bitext", "languages": ["en", "de"], "path": None, "bytes": None}
    return fetch(
        row(**{**facts, "head_bytes": size, **changes}).head(None),
        tmp_path / "target",
        pauses,
        timeout,
        parts=tmp_path / "parts",
        trusted=tmp_path / "own.sha256",
    )


def arrived(tmp_path):
    return (tmp_path / "target").read_bytes()


def test_of_a_head_no_more_is_asked_for_and_its_digest_is_kept_by_its_own_id(server, tmp_path):
    assert get_head(tmp_path, url=server.url) == "first use"
    assert server.asked == ["bytes=0-7999"]
    assert arrived(tmp_path) == CONTENT[:HEAD]
    assert get_head(tmp_path, url=server.url) == "earlier use"
    assert get_head(tmp_path, url=server.url, size=5000) == "first use"
    assert get(tmp_path, url=server.url, sha256=None) == "first use"
    assert (tmp_path / "own.sha256").read_text() == "".join(
        f"{hashlib.sha256(CONTENT[:size]).hexdigest()}  results/corpora_download/{name}/original\n"
        for size, name in [(8000, "own.head-8000"), (5000, "own.head-5000"), (None, "own")]
    )


def test_another_head_than_the_first_time_is_refused_and_what_is_behind_it_does_not_matter(
    server, tmp_path
):
    get_head(tmp_path, url=server.url)
    server.content = CONTENT[:HEAD] + b"other"
    assert get_head(tmp_path, url=server.url) == "earlier use"
    server.content = b"S" + CONTENT[1:]
    with pytest.raises(UserError, match=r"when it was first fetched .* it was"):
        get_head(tmp_path, url=server.url)


@pytest.mark.parametrize("fault", [503, 429, "cut", "stall", "no length", "wrong length"])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_head_comes_whole_over_a_bad_network(server, tmp_path, fault, ranges):
    server.faults, server.ranges = [fault], ranges
    get_head(tmp_path, url=server.url)
    assert arrived(tmp_path) == CONTENT[:HEAD]
    assert list((tmp_path / "parts").iterdir()) == []


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_the_next_try_asks_only_for_the_rest_of_a_head(server, tmp_path, fault):
    server.faults = [fault, fault]
    get_head(tmp_path, url=server.url)
    assert server.asked == ["bytes=0-7999", "bytes=3000-7999", "bytes=6000-7999"]
    assert arrived(tmp_path) == CONTENT[:HEAD]


@pytest.mark.parametrize("known", [None, len(CONTENT)])
def test_a_server_that_ignores_ranges_is_left_at_the_end_of_the_head(server, tmp_path, known):
    server.ranges, server.content = False, CONTENT + bytes(64 << 20)
    get_head(tmp_path, url=server.url, bytes=known)
    assert arrived(tmp_path) == CONTENT[:HEAD]
    assert server.sent < 32 << 20  # what was on its way


def test_a_head_that_never_comes_whole_is_refused(server, tmp_path):
    server.ranges, server.faults = False, ["cut"] * 20
    with pytest.raises(UserError, match="only 3,000 of 8,000 bytes"):
        get_head(tmp_path, url=server.url)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_is_shorter_than_the_head_is_taken_whole(server, tmp_path, ranges):
    server.ranges, server.faults = ranges, ["cut"]
    get_head(tmp_path, url=server.url, size=20_000)
    assert arrived(tmp_path) == CONTENT


def test_a_file_of_unknown_length_has_ended_where_there_is_nothing_more(server, tmp_path):
    server.faults = ["no length"]
    get_head(tmp_path, url=server.url, size=20_000)
    assert server.asked == ["bytes=0-19999", "bytes=10000-19999"]
    assert arrived(tmp_path) == CONTENT
    server.ranges, server.faults = False, ["no length"] * 3
    with pytest.raises(UserError, match="only 10,000 of 20,000 bytes"):
        get_head(tmp_path, url=server.url, size=20_000)


def test_an_empty_file_is_no_head(server, tmp_path):
    server.content = b""
    with pytest.raises(UserError, match="could not be fetched"):
        get_head(tmp_path, url=server.url)


def test_a_file_that_is_shorter_than_the_registry_says_is_refused(server, tmp_path):
    with pytest.raises(UserError, match="only 10,000 of 20,000 bytes"):
        get_head(tmp_path, url=server.url, size=20_000, bytes=30_000)


def test_an_error_page_is_not_trusted_as_a_head(server, tmp_path):
    with pytest.raises(UserError, match="10,000 bytes, the registry says about 25,000"):
        get_head(tmp_path, url=server.url, size=25_000, about_bytes=80_000)


def test_a_mirror_goes_on_from_nothing(server, tmp_path):
    server.faults = ["cut", 404]
    get_head(tmp_path, url=server.url, mirrors=(server.url + "?mirror",))
    assert server.asked == ["bytes=0-7999", "bytes=3000-7999", "bytes=0-7999"]
    assert arrived(tmp_path) == CONTENT[:HEAD]


def test_the_heads_of_two_versions_are_not_glued(server, tmp_path):
    server.faults = ["cut"]
    with pytest.raises(UserError):
        get_head(tmp_path, url=server.url, pauses=())
    server.tag, server.content = '"v2"', CONTENT[::-1]
    get_head(tmp_path, url=server.url)
    assert arrived(tmp_path) == CONTENT[::-1][:HEAD]


def test_another_range_than_the_head_is_refused(server, tmp_path):
    server.faults = ["another range"]
    get_head(tmp_path, url=server.url)
    assert server.asked == ["bytes=0-7999"] * 2
    assert arrived(tmp_path) == CONTENT[:HEAD]


def test_a_head_that_is_whole_but_was_not_moved_is_not_fetched_again(server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.move", lambda *paths: throw(KeyboardInterrupt))
        get_head(tmp_path, url=server.url)
    get_head(tmp_path, url=server.url)
    assert server.asked == ["bytes=0-7999"]
    assert arrived(tmp_path) == CONTENT[:HEAD]


ALONE = """
import sys
from pathlib import Path
from tests.downloads.test_fetch import get_head
get_head(Path(sys.argv[1]), url=sys.argv[2], size=800_000, timeout=60.0)
"""


def test_a_head_goes_on_where_kill_9_has_stopped_it(server, tmp_path):
    server.faults, server.content = ["hang"], CONTENT * 100
    job = subprocess.Popen([sys.executable, "-c", ALONE, str(tmp_path), server.url])
    try:
        part = tmp_path / "parts/results+corpora_download+own.head-800000+original.part"
        until = time.monotonic() + 60
        while not (part.is_file() and part.stat().st_size > 200_000):
            assert job.poll() is None and time.monotonic() < until
            time.sleep(0.02)
    finally:
        job.kill()
        job.wait()
    here = part.stat().st_size
    get_head(tmp_path, url=server.url, size=800_000)
    assert server.asked == ["bytes=0-799999", f"bytes={here}-799999"]
    assert arrived(tmp_path) == server.content[:800_000]


def test_what_is_fetched_of_a_head_is_what_is_read(server, tmp_path):
    text = "".join(f"Line {n}.\tZeile {n}.\n" for n in range(5000))
    server.content, server.faults = gzip.compress(text.encode()), ["cut"]
    facts = {"format": "bitext", "languages": ["en", "de"], "path": None, "bytes": None}
    wanted = row(**facts, url=server.url).head(HEAD)
    fetch(wanted, tmp_path / "target", (0.0,), 0.3, tmp_path / "parts", tmp_path / "own.sha256")
    read = reader_of(wanted.extract_settings())
    target = tmp_path / "target", ("en", "de"), Leftovers(tmp_path / "target", 0)
    pairs = [texts for _, texts in read(*target)]
    assert 1000 < len(pairs) < 5000
    assert pairs == [(f"Line {n}.", f"Zeile {n}.") for n in range(len(pairs))]


@pytest.mark.parametrize("size", [1, 8000, 10_000, 20_000])
def test_the_head_of_a_path_is_copied(source, tmp_path, size):
    get_head(tmp_path, path=str(source), size=size)
    assert arrived(tmp_path) == CONTENT[:size]
