"""audit finds every fault of the gallery by its name, finds none in right models, and leaves no trace."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from bilstm.errors import DataError
from bilstm.nn import BiLSTM
from bilstm.surgery import audit
from tests.compare import assert_close
from tests.surgery import models
from tests.surgery.models import FEATURES, HIDDEN, IDS, LABELS

B, T = 4, 9
LENGTHS = [3, 7, 1, 5]


def build(model: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return model()


def vectors() -> torch.Tensor:
    return torch.randn(B, T, FEATURES, generator=torch.Generator().manual_seed(1))


def ids() -> torch.Tensor:
    some = torch.randint(1, IDS, (B, T), generator=torch.Generator().manual_seed(2))
    return some * (torch.arange(T) < torch.tensor(LENGTHS)[:, None])


def tags() -> torch.Tensor:
    return torch.where(ids() == 0, -100, ids() % LABELS)


VECTORS = (vectors(), LENGTHS)
IDENTITIES = (ids(), LENGTHS)
ALL_STEPS = (vectors(),)

RIGHT = [
    (models.FinalStates, VECTORS),
    (models.MeanOverValidSteps, VECTORS),
    (models.MaskedAttention, VECTORS),
    (models.TaggerOfIds, IDENTITIES),
    (models.PaddingKnownById, (ids(),)),
    (models.LossOfTags, (ids(), tags(), torch.tensor(LENGTHS))),
    (models.LossAndScores, (ids(), tags(), torch.tensor(LENGTHS))),
    (models.ListsOfLabels, IDENTITIES),
    (models.Masked, (vectors(), torch.arange(T) >= torch.tensor(LENGTHS)[:, None])),
    (models.GivenStates, (vectors(), (torch.randn(2, B, HIDDEN), torch.randn(2, B, HIDDEN)), LENGTHS)),
    (models.BothEnds, ALL_STEPS),
    (models.OneDirectionLastStep, ALL_STEPS),
]
WRONG = [
    (models.LengthsIgnored, VECTORS, {"padding"}),
    (models.MeanOverAllSteps, VECTORS, {"padding"}),
    (models.AttentionWithoutMask, VECTORS, {"padding"}),
    (models.ReversedOverPadding, VECTORS, {"padding"}),
    (models.LastColumn, VECTORS, {"padding"}),
    (models.PaddingReadAsId, IDENTITIES, {"padding"}),
    (models.LastStep, ALL_STEPS, {"last step"}),
    (models.LastValidStep, VECTORS, {"last step"}),
    (models.FirstStep, ALL_STEPS, {"first step"}),
    (models.LastStateOnly, VECTORS, {"unread half"}),
    (models.BatchSecond, VECTORS, {"batch mates", "order"}),
    (models.StatesViewed, VECTORS, {"batch mates", "order"}),
    (models.NormOfTheBatch, VECTORS, {"batch mates"}),
    (models.NeverPutBack, VECTORS, {"order"}),
    (models.DropoutForEver, VECTORS, {"repetition"}),
    (models.StatesKept, ALL_STEPS, {"repetition"}),
    (models.Squeezed, VECTORS, {"one row"}),
    (models.DividedByPadding, VECTORS, {"padding"}),
]


def kinds(done) -> set[str]:
    return {finding.kind for finding in done.findings}


@pytest.mark.parametrize(("model", "example"), RIGHT, ids=lambda x: getattr(x, "__name__", ""))
def test_a_right_model_has_no_findings(model, example):
    done = audit(build(model), example)
    assert not done.findings, str(done)
    assert len(done.passed) >= 2


@pytest.mark.parametrize(("model", "example", "faults"), WRONG, ids=lambda x: getattr(x, "__name__", ""))
def test_a_fault_is_found_and_named(model, example, faults):
    done = audit(build(model), example)
    assert faults <= kinds(done), str(done)


def test_every_model_of_the_gallery_is_judged():
    gallery = {m for m in vars(models).values() if isinstance(m, type) and issubclass(m, models.Model)}
    assert gallery - {models.Model, models.TimeFirst, models.FlatScores} == {case[0] for case in (*RIGHT, *WRONG)}


def test_what_is_right_with_a_model_is_said_too():
    done = audit(build(models.FinalStates), VECTORS)
    assert str(done) == (
        "right: rows: a row alone gives what it gives in the batch\n"
        "right: order: results follow the order of the rows\n"
        "right: padding: neither its content nor its amount changes a result\n"
        "right: directions: both halves are read where they have seen the sequence"
    )


def test_what_cannot_be_compared_is_neither_blamed_nor_praised():
    done = audit(build(models.FlatScores), IDENTITIES)
    assert not done.findings
    assert done.passed == ["directions: both halves are read where they have seen the sequence"]
    assert [text.split(":")[0] for text in done.unchecked] == ["rows", "order", "padding"]
    done = audit(build(models.LossAndScores), (ids(), tags(), torch.tensor(LENGTHS)))
    assert [text.split(":")[0] for text in done.passed] == ["rows", "order", "padding", "directions"]


def test_a_result_that_becomes_infinite_is_said_in_words():
    assert "by NaN or infinity" in str(audit(build(models.DividedByPadding), VECTORS))


def test_the_layer_where_padding_shows_first_is_named():
    assert "first in what layer lstm returns" in str(audit(build(models.LengthsIgnored), VECTORS))
    assert "first in what layer back returns" in str(audit(build(models.ReversedOverPadding), VECTORS))


def test_the_trap_names_the_layer_the_half_and_the_cure():
    text = str(audit(build(models.LastStep), ALL_STEPS))
    assert "the backward half of layer lstm is read only at the last step" in text
    assert "hint: use the final states" in text


@pytest.mark.parametrize("lengths", [None, LENGTHS, torch.tensor(LENGTHS)])
def test_steps_may_come_first(lengths):
    example = (vectors().transpose(0, 1).contiguous(), LENGTHS)
    done = audit(build(models.TimeFirst), example, lengths, batch_first=False)
    assert not done.findings, str(done)
    assert len(done.passed) == 4


def test_lengths_that_the_module_does_not_take_show_that_it_leaks():
    assert "padding" in kinds(audit(build(models.LastStep), vectors(), lengths=LENGTHS))
    assert "padding" not in kinds(audit(build(models.LastStep), vectors()))
    assert "give lengths" in str(audit(build(models.LastStep), vectors()))


def test_rows_that_end_in_zeros_are_known_to_be_padded():
    x = vectors() * (torch.arange(T) < torch.tensor(LENGTHS)[:, None]).unsqueeze(2)
    assert "padding" in kinds(audit(build(models.LengthsIgnored), x))


def test_a_bare_layer_leaks_and_ours_with_lengths_does_not():
    torch.manual_seed(0)
    assert kinds(audit(nn.LSTM(FEATURES, HIDDEN, batch_first=True, bidirectional=True), vectors(), LENGTHS)) == {
        "padding"
    }
    ours = BiLSTM(FEATURES, HIDDEN, batch_first=True)
    assert not audit(ours, {"input": vectors(), "lengths": LENGTHS}).findings


def test_a_model_that_refuses_changed_batches_is_not_blamed():
    class Fixed(models.Model):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(T * 2 * HIDDEN, LABELS)

        def forward(self, x, lengths):
            return self.head(models.packed(self.lstm, x, lengths)[0].flatten(1))

    class Sorted(models.Model):
        def forward(self, x, lengths):
            return self.lstm(pack_padded_sequence(x, lengths, batch_first=True))[1][0][-2:].transpose(0, 1)

    done = audit(build(Fixed), VECTORS)
    assert not done.findings
    assert "padding: the module refuses the changed batch: RuntimeError" in str(done)
    done = audit(build(Sorted), (vectors(), sorted(LENGTHS, reverse=True)))
    assert not done.findings
    assert "order: the module refuses the changed batch: RuntimeError" in str(done)


def test_nothing_of_the_module_or_the_example_changes():
    model = build(models.StatesKept).train()
    before, x = copy.deepcopy(model.state_dict()), vectors()
    kept, random = x.clone(), torch.get_rng_state()
    audit(model, x)
    assert model.training
    assert model.states is None
    assert not model.lstm._forward_hooks
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    for name, value in model.state_dict().items():
        assert_close(value, before[name], what=name)
    assert_close(x, kept)
    assert_close(torch.get_rng_state(), random)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_are_judged_by_their_own_rounding(dtype):
    right, wrong = (build(m).to(dtype) for m in (models.FinalStates, models.LengthsIgnored))
    assert not audit(right, (vectors().to(dtype), LENGTHS)).findings
    assert "padding" in kinds(audit(wrong, (vectors().to(dtype), LENGTHS)))


@pytest.mark.parametrize(
    ("example", "options", "message"),
    [
        ((), {}, "expected arguments that forward takes"),
        ((vectors(), LENGTHS, 1), {}, "expected arguments that forward takes"),
        ((torch.tensor(3.0), LENGTHS), {}, "expected an argument with rows and steps"),
        ((torch.zeros(0, T, FEATURES), []), {}, "expected an argument with rows and steps"),
        ((vectors()[:, :, :2], LENGTHS), {}, "expected an example that the module takes, got ShapeError"),
        (VECTORS, {"lengths": [1, 2]}, "expected 4 lengths of 0 to 9"),
        (VECTORS, {"batch_first": False, "lengths": LENGTHS}, "expected 9 lengths of 0 to 4"),
    ],
)
def test_a_bad_example_says_what_was_expected(example, options, message):
    with pytest.raises(DataError, match=message):
        audit(build(models.FinalStates), example, **options)


def test_what_is_no_module_is_refused_and_so_is_packed_input():
    with pytest.raises(DataError, match=r"expected a torch\.nn\.Module, got dict"):
        audit({}, vectors())  # type: ignore[arg-type]
    x = pack_padded_sequence(vectors(), LENGTHS, batch_first=True, enforce_sorted=False)
    with pytest.raises(DataError, match="got a PackedSequence"):
        audit(nn.LSTM(FEATURES, HIDDEN), x)
