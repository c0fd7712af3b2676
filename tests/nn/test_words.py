"""The reader of words: what training drops."""

from __future__ import annotations

import pytest
import torch

from bilstm.networks.words import dropout_mask
from tests.compare import assert_close


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_dropout_mask_drops_its_share_and_scales_the_rest(share: float) -> None:
    torch.manual_seed(0)
    mask = dropout_mask(torch.empty(500, 601), share)
    dropped = (mask == 0).double().mean()
    deviation = (share * (1 - share) / mask.numel()) ** 0.5
    assert abs(float(dropped) - share) < 5 * deviation + 2**-16
    assert_close(mask[mask != 0], torch.full_like(mask[mask != 0], 1 / (1 - share)), rtol=1e-6)


def test_places_of_a_dropout_mask_know_nothing_of_one_another() -> None:
    """Four come from one random integer: neighbours at every distance up to eight are uncorrelated."""
    torch.manual_seed(0)
    kept = (dropout_mask(torch.empty(400_000), 0.5) != 0).double()
    kept -= kept.mean()
    for distance in range(1, 9):
        assert abs(float((kept[distance:] * kept[:-distance]).mean() / 0.25)) < 5 / 400_000**0.5


@pytest.mark.parametrize("shape", [(0, 3), (1,), (5, 7)])
def test_a_dropout_mask_has_the_shape_and_type_of_what_it_masks(shape: tuple[int, ...]) -> None:
    values = torch.empty(shape, dtype=torch.float64)
    mask = dropout_mask(values, 0.5)
    assert (mask.shape, mask.dtype) == (values.shape, values.dtype)
