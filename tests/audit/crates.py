"""RO-Crates without the network: JSON-LD terms from the installed library, and the validator."""

import io
import json

import rdflib
import requests
from requests.adapters import BaseAdapter
from requests_cache import CachedSession
from rocrate import vocabs
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from urllib3 import HTTPResponse

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
BIOSCHEMAS = "https://bioschemas.org/"
# The library carries the terms of a later version; these four were called so in 1.1.
TERMS = vocabs.RO_CRATE["@context"] | {
    "ComputationalWorkflow": BIOSCHEMAS + "ComputationalWorkflow",
    "FormalParameter": BIOSCHEMAS + "FormalParameter",
    "input": BIOSCHEMAS + "ComputationalWorkflow#input",
    "output": BIOSCHEMAS + "ComputationalWorkflow#output",
}


class _Terms(BaseAdapter):
    """Answers every request with RO-Crate's terms."""

    def send(self, request, **_):
        body = json.dumps({"@context": TERMS}).encode()
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = 200, request.url, request
        answer.headers["Content-Type"] = "application/ld+json"
        answer.raw = HTTPResponse(io.BytesIO(body), status=200, preload_content=False)
        return answer

    def close(self):
        pass


def issues(folder, profile, cache):
    """What the validator finds wrong with the crate in `folder` by what `profile` requires."""
    session = CachedSession(str(cache), backend="sqlite", expire_after=-1)
    session.mount("https://", _Terms())
    assert session.get(CONTEXT).ok
    session.close()
    settings = ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier=profile,
        requirement_severity=Severity.REQUIRED,
        offline=True,
        cache_path=cache,
    )
    return [issue.message for issue in services.validate(settings).get_issues()]


def graph(metadata):
    """The metadata of a crate as RDF."""
    url, own = metadata["@context"]
    assert url == CONTEXT
    text = json.dumps({**metadata, "@context": TERMS | own})
    return rdflib.Graph().parse(data=text, format="json-ld", publicID="https://crate.test/")
