"""What the description says holds for whatever is sent: no error of ours, no status or answer that it does not know."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
MODELS = ("table", "steps", "names", "load", "digits")  # of all five tasks


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_whatever_is_sent_is_answered_as_described(app_of, mode):
    app = app_of(*MODELS, allowed_hosts=("testserver",))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == len(MODELS) + 5
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and operation.method == "get" and not operation.path_parameters:
            continue  # nothing of it can be wrong
        answered(operation.as_strategy(generation_mode=mode))


def answered(cases):
    """Send some cases of an operation and look at what comes back."""

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def send(case):
        case.call_and_validate(checks=CHECKS)

    send()
