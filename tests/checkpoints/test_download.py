"""Fetching a checkpoint of the registry: whole or not at all, and nothing twice."""

import hashlib
from pathlib import Path

import pytest

from ernie_m.atomic import partial
from ernie_m.config.checkpoints import CheckpointRow, CheckpointsSettings
from ernie_m.config.load import load
from ernie_m.downloads.fetch import Wanted, arrive, download
from ernie_m.downloads.trust import TRUSTED, trusted_sha256
from ernie_m.errors import UserError
from ernie_m.job import Job
from tests.loopback import Publisher

FILES = {"model.safetensors": b"w" * 5000, "config.json": b"{}", "spm.model": b"pieces"}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def row(publisher, **changes):
    facts = {
        **{"id": "own", "url": f"{publisher.address}/{{version}}/{{file}}", "version": "main"},
        "files": {name: {"sha256": sha256(content)} for name, content in FILES.items()},
        "shape": {"layers": 2, "width": 8, "heads": 2, "ffn": 16},
        **{"pieces": 100, "licence": "MIT", "home": "https://example.org"},
    }
    return CheckpointRow(**facts | changes)


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    folder = tmp_path / "published"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with Publisher(folder) as started:
        yield started


def fetch(row):
    """Run the stage; returns the job."""
    folder = Path("results/checkpoints_download", row.id)
    folder.mkdir(parents=True, exist_ok=True)
    outputs = {"files": [folder / name for name in row.names]}
    job = Job("ernie_m.checkpoints.download", row.id, row, 1, 1, {}, outputs)
    download(job)
    for path in outputs["files"]:
        partial(path).replace(path)
    return job


def test_all_files_arrive_as_the_registry_has_them(publisher):
    job = fetch(row(publisher))
    for name, content in FILES.items():
        assert Path("results/checkpoints_download/own", name).read_bytes() == content
    assert job.notes == {"sha256_from": dict.fromkeys(FILES, "registry")}
    assert list(Path("work/downloads").iterdir()) == []


def test_the_revision_is_part_of_the_address(publisher):
    assert row(publisher, version="a1b2", mirrors=("http://m/{file}",)).addresses("x") == (
        f"{publisher.address}/a1b2/x",
        "http://m/x",
    )


def test_what_is_whole_waits_for_the_others_and_is_not_sent_again(publisher):
    missing = publisher.folder / "spm.model"
    missing.unlink()
    with pytest.raises(UserError, match=r"`own`: spm.model could not be fetched: .*404"):
        fetch(row(publisher))
    assert list(Path("results/checkpoints_download/own").iterdir()) == []
    missing.write_bytes(FILES["spm.model"])
    publisher.asked.clear()
    fetch(row(publisher))
    assert dict(publisher.asked) == {
        "model.safetensors": "bytes=5000-",
        "config.json": "bytes=2-",
        "spm.model": None,
    }


def test_another_digest_is_refused_and_the_file_is_dropped(publisher):
    wrong = row(publisher, files=row(publisher).files | {"spm.model": {"sha256": "0" * 64}})
    with pytest.raises(UserError, match=r"`own`: spm.model has SHA-256 .*, the registry says 000"):
        fetch(wrong)
    assert not list(Path("results").rglob("spm.model"))
    assert sorted(path.name for path in Path("work/downloads").glob("*.part")) == [
        "results+checkpoints_download+own+config.json.part",
        "results+checkpoints_download+own+model.safetensors.part",
    ]


def test_an_unknown_digest_is_trusted_once_and_then_demanded(publisher):
    unpinned = row(publisher, files={name: {} for name in FILES})
    assert fetch(unpinned).notes["sha256_from"]["config.json"] == "first use"
    result, trusted = "results/checkpoints_download/own/config.json", "config/checkpoints.sha256"
    assert trusted_sha256(result, Path(trusted)) == sha256(b"{}")
    assert fetch(unpinned).notes["sha256_from"]["config.json"] == "earlier use"
    (publisher.folder / "config.json").write_bytes(b"[]")
    with pytest.raises(UserError, match=r"when it was first fetched .*checkpoints.sha256"):
        fetch(unpinned)


def test_offline_nothing_is_fetched_and_a_folder_is_offered(publisher, monkeypatch):
    monkeypatch.setenv("ERNIE_M_OFFLINE", "1")
    with pytest.raises(UserError, match=r"`own`: model\.safetensors is not here") as raised:
        fetch(row(publisher))
    assert "name the folder that has all files in `init`" in raised.value.fix
    assert publisher.asked == []


def test_a_mirror_helps_out(publisher):
    elsewhere = f"{publisher.address}/there/{{file}}"
    gone = row(publisher, url="http://127.0.0.1:9/{file}", mirrors=(elsewhere,))
    result, trusted = (
        "results/checkpoints_download/own/config.json",
        TRUSTED["checkpoints_download"],
    )
    wanted = Wanted(gone, "config.json", result, trusted, pauses=())
    part, source = arrive(wanted, Path("never"))
    assert part.read_bytes() == b"{}" and source == "registry"


@pytest.mark.parametrize(
    ("left_out", "message"),
    [("model.safetensors", "one file of weights"), ("config.json", "config"), ("spm.model", "voc")],
)
def test_a_row_without_what_is_needed_is_refused(publisher, left_out, message):
    files = {name: {} for name in FILES if name != left_out}
    with pytest.raises(ValueError, match=f"`own` needs .*{message}"):
        row(publisher, files=files)


SHAPE = {"layers": 12, "width": 768, "heads": 12, "ffn": 3072}


def test_the_registry_is_sound_and_says_where_digests_are_not_known():
    rows = CheckpointsSettings().rows()
    assert {"xlm-roberta-base", "xlm-roberta-large", "ernie-m-base", "ernie-m-large"} == set(rows)
    assert all(own.sha256 and own.bytes for own in rows["xlm-roberta-base"].files.values())
    for name in ("ernie-m-base", "ernie-m-large"):  # a branch is no pin, which the row has to say
        assert rows[name].version == "main" and "digest of what came first" in rows[name].note


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init": "xlm-roberta-bas", "model": SHAPE}, "did you mean `xlm-roberta-base`"),
        ({"init": "sha256:ea5f8"}, "nor `sha256:` with 8 to 64 digits"),
        ({"init": "xlm-roberta-base"}, "`model.layers` is 2, but `xlm-roberta-base`.* has 12"),
        (
            {
                "init": "xlm-roberta-base",
                "model": SHAPE,
                "xtreme": {"tasks": []},
                "corpora": {
                    "registry": "config/corpora_paper.yaml",
                    "datasets": ["xlmr-vocabulary", "cc100-en", "cc100-de", "wikimatrix-en-de"],
                    **{"languages": ["en", "de"], "pairs": ["en-de"]},
                },
            },
            "names a vocabulary, and the checkpoint",
        ),
    ],
)
def test_what_init_cannot_mean_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        load(changes)


def test_a_folder_and_a_digest_are_no_rows():
    assert load({"init": "some/folder"}).checkpoint is None
    named = load({"init": "sha256:ea5f8b74"})
    assert (named.checkpoint, named.init_digest) == (None, "ea5f8b74")
    assert load({"init": "xlm-roberta-base", "model": SHAPE}).checkpoint.pieces == 250_002
