"""The test of the tests: the laws reject every wrong layer of the gallery, and no law is idle."""

from __future__ import annotations

import pytest

from bilstm.nn import BiLSTM
from tests.cases import CASES
from tests.laws import LAWS, sentence
from tests.wrong import GALLERY, rejected, table, verdicts

# Three cases that between them have unequal lengths, an empty row, states, two layers and both precisions.
JUDGED_ON = list(CASES.values())[:3]


@pytest.fixture(scope="module")
def found():
    found = verdicts(LAWS, JUDGED_ON)
    print("\n" + table(found))
    return found


@pytest.mark.parametrize("wrong", [wrong.__name__ for wrong in GALLERY])
def test_a_wrong_layer_is_rejected_by_a_law(found, wrong):
    assert any(found[wrong].values()), f"no law rejects {wrong}"


@pytest.mark.parametrize("law", [sentence(law) for law in LAWS])
def test_a_law_rejects_a_wrong_layer(found, law):
    assert any(row[law] for row in found.values()), f"no wrong layer breaks: {law}"


@pytest.mark.parametrize("law", LAWS, ids=sentence)
def test_a_right_layer_is_rejected_by_no_law(law):
    assert not rejected(law, BiLSTM, JUDGED_ON)
