"""Remotes of DVC on loopback: a folder, an SSH server and a server that speaks S3."""

import asyncio
import shutil
import threading

import asyncssh
import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from tests.repository import ROOT, Repository, copy_of_repository

MODEL = "results/default/tokenizer_train/spm.model"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A repository whose milestone `tokenizer` is in DVC, with small files as its results."""
    repository = copy_of_repository(tmp_path_factory.mktemp("remotes") / "repository")
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["tokenizer"]
    folders = [path for out in stage["outs"] for path in out]
    folders += [dep for dep in stage["deps"] if dep.startswith("results/")]
    for folder in folders:
        (repository.path / folder).mkdir(parents=True)
        (repository.path / folder / "file").write_text(f"bytes of {folder}\n")
    (repository.path / MODEL).write_bytes(bytes(range(256)) * 4096)
    repository.run("dvc", "commit", "--force", "--quiet", "tokenizer")
    repository.git("add", ".")
    repository.git("commit", "-q", "-m", "results")
    return repository


@pytest.fixture
def folder(tmp_path):
    """Address and options of a remote in a folder."""
    return str(tmp_path / "storage"), {}


@pytest.fixture
def s3(monkeypatch):
    """Address and options of a bucket on a server of the test's own."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="results")
    yield "s3://results/ernie-m", {"endpointurl": endpoint}
    server.stop()


@pytest.fixture
def ssh(tmp_path):
    """Address and options of a folder behind an SSH server of the test's own."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    private, storage = tmp_path / "key", tmp_path / "storage"
    key.write_private_key(private)
    storage.mkdir()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen():
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=asyncssh.import_authorized_keys(
                key.export_public_key().decode()
            ),
            sftp_factory=True,
        )

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
    address = f"ssh://user@127.0.0.1:{server.get_port()}{storage}"
    yield address, {"keyfile": str(private), "ask_password": "false"}
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.mark.parametrize("kind", ["folder", "s3", "ssh"])
def test_results_go_to_a_remote_and_come_back_in_a_clone(results, kind, request, tmp_path):
    address, options = request.getfixturevalue(kind)
    clone = Repository(tmp_path / "clone")
    results.git("clone", "-q", ".", str(clone.path))
    results.run("dvc", "remote", "add", "--local", "--force", "-d", "storage", address)
    for name, value in options.items():
        results.run("dvc", "remote", "modify", "--local", "storage", name, value)
    shutil.copy(results.path / ".dvc/config.local", clone.path / ".dvc/config.local")
    results.run("dvc", "push", "--quiet", "tokenizer")
    clone.run("dvc", "pull", "--quiet", "tokenizer")
    assert (clone.path / MODEL).read_bytes() == (results.path / MODEL).read_bytes()
    assert "in sync" in clone.run("dvc", "status", "--cloud", "tokenizer").stdout
