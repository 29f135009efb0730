"""Secrets that a run needs reach what needs them, and nothing that is written or printed."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ernie_m.audit import command, restore
from ernie_m.config.load import load, read_yaml
from ernie_m.errors import UserError, exit_status_of
from ernie_m.tracking import finish, start
from tests.repository import ROOT

TEXT = b"some text\n" * 100
PLANTED = {
    "CORPUS_TOKEN": "planted-query-0123",
    "CORPUS_LOGIN": "planted-user-4567:planted-pw-89ab",
    "STORE_ACCESS": "planted-store-cdef",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-7777",
    "HF_TOKEN": "planted-hf-8888",
}
VALUES = [part for value in PLANTED.values() for part in value.split(":")]
ENCODED = base64.b64encode(PLANTED["CORPUS_LOGIN"].encode()).decode()


class Publisher:
    """Sends a file to those who bring the token and the login; ``asked`` has what came."""

    def __init__(self):
        self.asked = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                given = self.headers.get("Authorization")
                outer.asked.append((self.headers["Host"].partition(":")[0], self.path, given))
                if self.path.startswith("/file"):
                    entered = given == f"Basic {ENCODED}" and PLANTED["CORPUS_TOKEN"] in self.path
                    self.send_response(302 if entered else 403)
                    self.send_header("Location", outer.address.replace("127.0.0.1", "localhost"))
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
                self.send_response(200)
                self.send_header("Content-Length", str(len(TEXT)))
                self.end_headers()
                return self.wfile.write(TEXT)

            def log_message(self, *words):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def publisher(monkeypatch):
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    found = Publisher()
    yield found
    found.http.shutdown()
    found.http.server_close()


def row(publisher):
    host = publisher.address.removeprefix("http://")
    return {
        "id": "own",
        "url": f"http://${{CORPUS_LOGIN}}@{host}/file?token=${{CORPUS_TOKEN}}",
        "version": "1",
        "filename": "own.txt",
        "sha256": hashlib.sha256(TEXT).hexdigest(),
        "licence": "CC0-1.0",
        "format": "homeassistant",
        "languages": ["en"],
        "home": "https://example.org",
    }


def download(settings):
    job = [sys.executable, "-m", "ernie_m.corpora.download", "--settings", json.dumps(settings)]
    job += ["--output", "file", "results/corpora_download/own/original"]
    job += ["--record", "results/corpora_download/own/record.json"]
    done = subprocess.run(job, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def leaks(folder, printed):
    """Planted values in files below a folder, or in what was printed."""
    found = [f"printed {value}" for value in [*VALUES, ENCODED] if value in printed]
    for path in Path(folder).rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            found += [
                f"{path} {value}" for value in [*VALUES, ENCODED] if value.encode() in content
            ]
    return found


def test_a_run_gets_its_secrets_and_keeps_none(publisher, uri, capsys, tmp_path):
    """Download, tracking, audit: with a token and a login for the text, a password for a store, and
    others in the environment; from a working tree with changes."""
    Path("src").mkdir()
    for words in (["init"], ["commit", "--allow-empty", "--message", "empty"]):
        own = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *words, "--quiet"]
        subprocess.run(own, check=True)
    key = PLANTED["AWS_SECRET_ACCESS_KEY"]
    Path("src/own.py").write_text(f"store = 'https://me:{VALUES[0]}@host'\nkey = '{key}'\n")
    status, printed = download(row(publisher))
    assert status == 0, printed
    assert Path("results/corpora_download/own/original").read_bytes() == TEXT
    assert Path("results/corpora_download/own/uncommitted.patch").is_file()
    at_publisher, elsewhere = publisher.asked
    assert at_publisher[2] == f"Basic {ENCODED}"
    assert elsewhere[::2] == ("localhost", None)

    config = {"tracking": {"uri": "http://me:${STORE_ACCESS}@127.0.0.1:1"}, "row": row(publisher)}
    session = start.open_parent(start.begin(uri, "own", "default", config))
    assert finish.finish(session).jobs == 1
    Path("config.json").write_text(json.dumps(config))
    call = [sys.executable, "-m", "ernie_m.tracking.start", "--run", "other"]
    call += ["--uri", config["tracking"]["uri"], "--config", "config.json"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert "tracking failed" in done.stderr
    printed += done.stdout + done.stderr + " ".join(call)

    what = "results/corpora_download/own/original"
    exit_status_of(lambda: command.main([what, "--full"]))
    exit_status_of(lambda: command.main([what, "--json"]))
    printed += "".join(capsys.readouterr())
    assert "${CORPUS_TOKEN}" in printed
    Path("src/own.py").unlink()
    assert leaks(tmp_path, printed) == []


def test_a_download_that_fails_tells_no_secret(publisher, results, monkeypatch, tmp_path):
    monkeypatch.setattr("ernie_m.downloads.fetch.PAUSES", ())
    wrong = row(publisher) | {"url": row(publisher)["url"].replace("?token", " ?token")}
    status, printed = download(wrong)
    assert status == 1
    monkeypatch.delenv("CORPUS_TOKEN")
    status, missing = download(row(publisher))
    assert status == 1 and "export CORPUS_TOKEN=" in missing
    assert leaks(tmp_path, printed + missing) == []


@pytest.mark.parametrize(
    "url",
    [
        f"https://me:{VALUES[1]}@host/own.txt",
        f"https://{VALUES[1]}@host/own.txt",
        f"https://host/own.txt?token={VALUES[1]}",
        f"https://host/own.txt?a=b&X-Amz-Signature={VALUES[1]}",
    ],
)
@pytest.mark.parametrize("key", ["url", "home", "mirrors"])
def test_a_secret_in_a_registry_is_refused(url, key, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    own = {"id": "own", "url": "https://host/own.txt", "version": "1", "filename": "own.txt"}
    own |= {"licence": "CC0-1.0", "format": "homeassistant", "languages": ["en"], "home": "own"}
    own |= {key: [url] if key == "mirrors" else url}
    registry = tmp_path / "corpora.yaml"
    registry.write_text(json.dumps([own]))
    config = read_yaml(ROOT / "config/config.yaml")
    config["corpora"] |= {"registry": str(registry), "datasets": ["own"]}
    with pytest.raises(UserError, match=re.escape("?token=${TOKEN}")) as refused:
        load(config)
    assert "row 1" in str(refused.value) and VALUES[1] not in str(refused.value)


def test_a_secret_in_the_address_of_the_store_is_refused():
    config = read_yaml(ROOT / "config/config.yaml")
    config["tracking"] = {"uri": f"postgresql://me:{VALUES[1]}@host/runs"}
    with pytest.raises(UserError, match=r"`tracking\.uri` .*password") as refused:
        load(config)
    assert VALUES[1] not in str(refused.value)


def test_what_dvc_says_of_a_remote_is_told_without_its_password(results, monkeypatch):
    subprocess.run(["git", "init", "--quiet"], check=True)
    Path(".dvc").mkdir()
    url = f"https://me:{VALUES[1]}@127.0.0.1:1/store"
    Path(".dvc/config").write_text(f"[core]\n  remote = own\n['remote \"own\"']\n  url = {url}\n")
    Path("data.dvc").write_text(
        "outs:\n- md5: 0123456789abcdef0123456789abcdef\n  size: 1\n  hash: md5\n  path: data\n"
    )
    monkeypatch.setitem(os.environ, "DVC_NO_ANALYTICS", "1")
    with pytest.raises(UserError) as failed:
        restore.tool("dvc", "pull", "-v")
    assert "dvc pull" in str(failed.value) and VALUES[1] not in str(failed.value)
