"""The published OpenAPI document, against a running server: whatever fits it is answered by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    environment = {
        **os.environ,
        "BENCHPOOL_HOME": str(tmp_path_factory.mktemp("served") / "home"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "benchpool", "up", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as up:
        try:
            assert up.stdout is not None
            lines = [up.stdout.readline()]
            while lines[-1] != "}\n":
                lines.append(up.stdout.readline())
            url = json.loads("".join(lines))["gateway"]
            yield schemathesis.openapi.from_url(f"{url}/openapi.json")
        finally:
            up.terminate()
            up.wait(30)


@pytest.mark.slow
def test_the_server_answers_as_its_document_says(schema: Any) -> None:
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        def check(case: Any) -> None:
            # What fits the document may still be no signed item, or name no process. AO's units
            # refuse it with 500; that this is a refusal and no accident is checked here.
            response = case.call_and_validate(
                excluded_checks=[not_a_server_error, checks.positive_data_acceptance]
            )
            if response.status_code >= 500:
                error = response.json()["error"]
                assert not error.split(":")[0].endswith(("Error", "Exception")), error

        check()
