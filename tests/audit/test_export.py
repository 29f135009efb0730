"""Exports: valid by the formats' own tools, and saying what the records say."""

import json
import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest
from openlineage.client.event_v2 import RunState
from prov.model import ProvDocument, ProvGeneration, ProvUsage

from ernie_m import cli
from ernie_m.audit.export import events
from ernie_m.audit.export.command import pedigree
from ernie_m.config.load import read
from ernie_m.records.digest import file_sha256

from .conftest import CLEAN, ROOT, ROWS, STATS, WHEEL, finish
from .crates import graph, issues

PREFIXES = """
PREFIX s: <http://schema.org/>
PREFIX bs: <https://bioschemas.org/>
PREFIX cw: <https://bioschemas.org/ComputationalWorkflow#>
PREFIX codemeta: <https://codemeta.github.io/terms/>
PREFIX run: <https://w3id.org/ro/terms/workflow-run#>
"""


@pytest.fixture
def sources(results):
    """The run of three jobs in a checkout."""
    for name in ("Snakefile", "envs", "src"):
        path = ROOT / name
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, results / name)
    return results


def export(form, *words):
    """What the command writes."""
    assert cli.main(["export", form, CLEAN, "--out", "out.json", *words]) == 0
    return Path("out.json").read_text()


@pytest.fixture
def metadata(sources):
    """The crate's metadata, in its place."""
    assert cli.main(["export", "ro-crate", CLEAN, "--out", "ro-crate-metadata.json"]) == 0
    return json.loads(Path("ro-crate-metadata.json").read_text())


@pytest.fixture
def ask(metadata):
    """Asks the crate in SPARQL; answers are tuples of text, without the crate's address."""
    crate = graph(metadata)

    def ask(pattern, *names):
        query = f"{PREFIXES} SELECT DISTINCT {' '.join('?' + n for n in names)} {{ {pattern} }}"
        rows = crate.query(query)
        return {
            tuple(str(cell).removeprefix("https://crate.test/") for cell in row) for row in rows
        }

    return ask


def test_the_crate_is_a_workflow_run_crate(metadata, tmp_path):
    assert issues(tmp_path, "workflow-run-crate", tmp_path / "cache") == []


def test_the_crate_is_a_provenance_run_crate(metadata, tmp_path):
    """The validator wants nothing but control actions where the profile's text (and its third
    competency question) puts the configuration files too; it has nothing else to say."""
    found = set(issues(tmp_path, "provenance-run-crate", tmp_path / "cache"))
    assert len(found) == 1 and "must reference the ControlAction instances" in found.pop()


def test_the_validator_sees_what_is_missing(metadata, tmp_path):
    for entity in metadata["@graph"]:
        if entity["@id"] == "#run":
            del entity["instrument"]
    Path("ro-crate-metadata.json").write_text(json.dumps(metadata))
    assert any(
        "instrument" in found for found in issues(tmp_path, "workflow-run-crate", tmp_path / "c")
    )


def test_what_the_crate_names_is_there(metadata):
    files = [e for e in metadata["@graph"] if "File" in e["@type"]]
    assert {CLEAN, STATS, ROWS, WHEEL} < {entity["@id"] for entity in files}
    for entity in files:
        assert Path(entity["@id"]).is_file(), entity["@id"]
    known = {entity["@id"] for entity in metadata["@graph"]}
    assert len(known) == len(metadata["@graph"])


def test_a_checkpoint_from_elsewhere_is_described(sources, tmp_path_factory):
    """It need not lie in the crate, so it stands there by its digest."""
    weights = Path("xlmr/model.safetensors")
    weights.parent.mkdir()
    weights.write_text("weights")
    made = "results/tiny/tokenizer_train/spm.model"
    inputs = {"text": [CLEAN], "source": [weights]}
    finish(read("config/tiny.yaml"), "ernie_m.tokenizer.train", "", inputs, {"model": [made]})
    assert cli.main(["export", "ro-crate", made, "--out", "ro-crate-metadata.json"]) == 0
    entities = {
        e["@id"]: e for e in json.loads(Path("ro-crate-metadata.json").read_text())["@graph"]
    }
    name = f"#elsewhere/{file_sha256(weights)}"
    assert entities[name]["name"] == str(weights)
    for action in ("#job/tokenizer_train", "#run"):
        assert {"@id": name} in entities[action]["object"]
    assert set(referred(entities)) <= entities.keys()
    assert issues(sources, "workflow-run-crate", tmp_path_factory.mktemp("c") / "cache") == []


def referred(entities):
    """What the entities of a crate refer to within it."""
    for entity in entities.values():
        for values in entity.values():
            for value in values if isinstance(values, list) else [values]:
                if isinstance(value, dict) and not value["@id"].startswith("http"):
                    yield value["@id"]


# The profile's competency questions, by their numbers. The first, which container images were
# used, has the answer that there were none.


def test_cq1_container_images(ask):
    assert ask("?action run:containerImage ?image", "image") == set()


def test_cq2_memory_and_processor_time(ask):
    pattern = """?action a s:CreateAction; run:resourceUsage ?usage.
        ?usage a s:PropertyValue; s:name ?name; s:value ?value; s:propertyID ?id; s:unitCode ?u"""
    run = json.loads(Path(CLEAN).with_name("record.json").read_text())["run"]
    found = ask(pattern, "action", "name", "value")
    for name in ("memory_mb", "cpu_seconds"):
        assert ("#job/corpora_filter/rows-de/0", name, str(run[name])) in found
    assert len(found) == 6


def test_cq3_configuration_files(ask):
    pattern = """?action a s:OrganizeAction; s:object ?file.
        FILTER NOT EXISTS { ?file a s:ControlAction }"""
    assert ask(pattern, "file") == {("config/config.yaml",), ("config/corpora.yaml",)}


def test_cq4_environment_of_each_step(ask):
    pattern = """?workflow a bs:ComputationalWorkflow, s:HowTo; s:step ?step.
        ?step a s:HowToStep; s:name ?name; codemeta:buildInstructions ?file.
        ?file a s:MediaObject; s:encodingFormat ?format"""
    stages = ("corpora_download", "corpora_extract", "corpora_filter")
    wanted = {(stage, "envs/ernie-m.yaml", "application/yaml") for stage in stages}
    assert ask(pattern, "name", "file", "format") == wanted


def test_cq5_how_long_a_component_took(ask, metadata):
    pattern = """?action a s:CreateAction; s:instrument ?tool; s:startTime ?start; s:endTime ?end.
        ?tool a s:SoftwareApplication"""
    found = ask(pattern, "action", "start", "end")
    run = json.loads(Path(CLEAN).with_name("record.json").read_text())["run"]
    assert ("#job/corpora_filter/rows-de/0", run["started"], run["ended"]) in found
    assert len(found) == 3


def test_cq6_how_long_the_workflow_took(ask):
    pattern = """?action a s:CreateAction; s:instrument ?whole; s:startTime ?start; s:endTime ?end.
        ?whole a bs:ComputationalWorkflow"""
    ((action, start, end),) = ask(pattern, "action", "start", "end")
    assert action == "#run" and datetime.fromisoformat(start) <= datetime.fromisoformat(end)


def test_cq7_whether_it_succeeded(ask):
    found = ask("?action a s:CreateAction; s:actionStatus ?status", "action", "status")
    assert len(found) == 4
    assert {status for _, status in found} == {"http://schema.org/CompletedActionStatus"}


def test_cq8_inputs_and_outputs_of_the_whole(ask):
    pattern = "?run s:instrument ?workflow; s:object ?in; s:result ?out. ?workflow a s:HowTo. "
    outputs = ask(pattern, "out")
    assert outputs == {(CLEAN,)}
    names = {name for (name,) in ask(pattern + "?in s:name ?name", "name")}
    assert {"homeassistant", "corpora.filter.min_chars"} <= names


def test_cq9_version_of_the_code_of_each_step(ask):
    pattern = "?step a s:HowToStep; s:workExample ?tool. ?tool s:name ?name; s:softwareVersion ?v"
    record = json.loads(Path(CLEAN).with_name("record.json").read_text())
    found = ask(pattern, "name", "v")
    assert ("ernie_m.corpora.filter", record["facts"]["code"]["digest"]) in found
    assert len(found) == 3


def test_cq10_the_script_around_each_component(ask):
    pattern = """?action a s:CreateAction; s:instrument ?tool.
        ?tool a s:SoftwareApplication; s:mainEntity ?script; s:softwareRequirements ?package.
        ?package s:name ?name; s:version ?version"""
    found = ask(pattern, "script", "name", "version")
    record = json.loads(Path(CLEAN).with_name("record.json").read_text())
    assert (
        "src/ernie_m/corpora/filter.py",
        "pyarrow",
        record["run"]["packages"]["pyarrow"],
    ) in found


def test_cq11_how_parameters_of_the_workflow_reached_the_tools(ask):
    pattern = """?workflow a bs:ComputationalWorkflow; cw:input ?outer; s:step ?step.
        ?run s:instrument ?workflow; s:object ?given. ?given s:exampleOfWork ?outer; s:value ?value.
        ?step run:connection ?connection; s:workExample ?tool.
        ?connection a run:ParameterConnection; run:sourceParameter ?outer; run:targetParameter ?own.
        ?tool cw:input ?own; s:name ?tool_name. ?outer s:name ?name. ?own s:name ?own_name"""
    found = ask(pattern, "tool_name", "name", "own_name", "value")
    settings = json.loads(Path(CLEAN).with_name("record.json").read_text())["facts"]["settings"]
    wanted = ("ernie_m.corpora.filter", "corpora.filter.min_chars", "corpora.filter.min_chars")
    assert (*wanted, str(settings["min_chars"])) in found


def test_data_flows_from_step_to_step(ask):
    pattern = """?connection run:sourceParameter ?source; run:targetParameter ?target.
        ?file s:exampleOfWork ?source, ?target; a s:MediaObject; run:sha256 ?digest"""
    record = json.loads(Path(ROWS).with_name("record.json").read_text())
    (file,) = record["facts"]["outputs"]["rows"]
    assert (ROWS, file["sha256"]) in ask(pattern, "file", "digest")


@pytest.fixture
def records(sources):
    """The three records by job."""
    found = [json.loads(path.read_text()) for path in Path("results").rglob("record.json")]
    return {f"{record['stage']}/{record['instance']}": record for record in found}


def paths(record, side):
    return Counter(f["path"] for files in record["facts"][side].values() for f in files)


def test_prov_says_who_used_and_made_what(records):
    document = ProvDocument.deserialize(content=export("prov"), format="json")
    for relation, side in ((ProvUsage, "inputs"), (ProvGeneration, "outputs")):
        found = Counter()
        for one in document.get_records(relation):
            about = dict(one.formal_attributes)
            names = {key.localpart: value.localpart for key, value in about.items() if value}
            found[names["activity"].rpartition("/")[0], names["entity"].rpartition("/")[0]] += 1
        wanted = {
            (job, path): n for job, r in records.items() for path, n in paths(r, side).items()
        }
        if side == "inputs":
            wanted["corpora_download/homeassistant", "homeassistant"] = 1
        assert found == wanted


def test_openlineage_has_a_start_and_an_end_of_each_job(records):
    lines = [json.loads(line) for line in export("openlineage").splitlines()]
    assert [line["eventTime"] for line in lines] == sorted(line["eventTime"] for line in lines)
    ids = {}
    for line in lines:
        ids.setdefault(line["job"]["name"], set()).add(line["run"]["runId"])
    assert ids.keys() == {*records, "pipeline/tiny"} and all(len(own) == 1 for own in ids.values())
    for name, record in records.items():
        start, end = (line for line in lines if line["job"]["name"] == name)
        assert [start["eventType"], end["eventType"]] == ["START", "COMPLETE"]
        facets = end["run"]["facets"]
        assert {facets["parent"]["run"]["runId"]} == ids["pipeline/tiny"]
        read = Counter(d["name"] for d in end["inputs"] if d["namespace"] == "ernie-m")
        assert read == paths(record, "inputs")
        assert Counter(d["name"] for d in end["outputs"]) == paths(record, "outputs")
    (wheel,) = {
        d["facets"]["version"]["datasetVersion"]
        for line in lines
        for d in line["outputs"]
        if d["name"] == WHEEL
    }
    (file,) = records["corpora_download/homeassistant"]["facts"]["outputs"]["file"]
    assert wheel == f"sha256:{file['sha256']}"


def test_openlineage_events_are_of_the_librarys_own_types(sources):
    made = list(events.events(pedigree(CLEAN)))
    assert Counter(event.eventType for event in made) == {RunState.START: 4, RunState.COMPLETE: 4}


@pytest.mark.parametrize("form", ["ro-crate", "prov", "openlineage"])
def test_an_export_repeats_and_holds_no_path_of_the_machine(sources, form):
    first = export(form)
    assert export(form) == first
    assert str(sources) not in first


@pytest.mark.parametrize("form", ["ro-crate", "prov", "openlineage"])
def test_data_need_not_be_here(sources, form, capsys):
    before = export(form)
    for path in (CLEAN, STATS, ROWS, WHEEL):
        Path(path).unlink()
    assert export(form) == before
    assert cli.main(["export", form, CLEAN]) == 0
    assert capsys.readouterr().out == before


def test_a_missing_record_is_no_whole_lineage(sources, capsys):
    Path(ROWS).with_name("record.json").unlink()
    assert cli.main(["export", "prov", CLEAN]) == 1
    message = capsys.readouterr().err
    assert "corpora_extract/homeassistant/de/record.json" in message and "audit" in message
