"""Made-up requests after the OpenAPI document: the server never fails, and every answer is of a documented kind.

A few hundred cases run by default, valid ones and broken ones; SCHEMA_CASES=2000 spreads that many over the operations
(docs/serving.md).
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.conftest import Live

CASES = int(os.environ.get("SCHEMA_CASES", "300"))
OPERATIONS = [
    ("/v1/images/generations", "POST"),
    ("/v1/images/edits", "POST"),
    ("/v1/images/files/{name}", "GET"),
    ("/v1/models", "GET"),
    ("/v1/models/{model}", "GET"),
    ("/v1/jobs/{job_id}", "GET"),
    ("/v1/jobs/{job_id}", "DELETE"),
    ("/health", "GET"),
    ("/metrics", "GET"),
]
WEIGHTS = {"POST": 0.36, "GET": 0.05, "DELETE": 0.05}  # most cases go to the two bodies
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="session")
def api(fake: Live) -> Any:
    """The document of a live server."""
    return schemathesis.openapi.from_url(f"{fake.url}/openapi.json")


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_server_never_fails(api: Any, path: str, method: str) -> None:
    operation = api[path][method]
    # GET /health and its like take nothing, so no request to them can be broken
    broken = [operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)] if "{" in path or method == "POST" else []
    answered: Counter[int] = Counter()

    @hypothesis.settings(
        max_examples=max(1, round(CASES * WEIGHTS[method])),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    @hypothesis.given(case=st.one_of(operation.as_strategy(), *broken))
    def check(case: Any) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("steps"), int):
            hypothesis.assume(case.body["steps"] < 300)  # the fake counts steps one by one
        response = case.call()
        case.validate_response(response, checks=CHECKS)
        answered[response.status_code] += 1

    check()
    print(f"{method} {path}: {dict(sorted(answered.items()))}")
    assert {200, 202, 404} & set(answered), "nothing was accepted"


def test_the_document_covers_every_route(fake: Live) -> None:
    document = fake.http.get("/openapi.json").json()
    assert {(path, method.upper()) for path, found in document["paths"].items() for method in found} == set(OPERATIONS)
    edit = document["paths"]["/v1/images/edits"]["post"]["requestBody"]["content"]
    assert set(edit) == {"application/json", "multipart/form-data"}
    assert {"prompt", "image", "mask", "seed"} <= set(edit["multipart/form-data"]["schema"]["properties"])
