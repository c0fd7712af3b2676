"""The leakage alarm: planted leaks are found and named, honest tables of many kinds are left in peace."""

from __future__ import annotations

import numpy as np
import pytest

from bilstm.data.series import leaks
from bilstm.data.series.leaks import find_leaks
from bilstm.errors import DataError
from tests.series import centred

ROWS = 600


def walk(generator, rows=ROWS):
    return 1000 + generator.normal(size=rows).cumsum()


def market(generator, rows=ROWS):
    """A price with what a file of prices honestly has: the columns of one day are known at its end."""
    inside = walk(generator, 20 * rows).reshape(rows, 20)
    close = inside[:, -1]
    volume = np.exp(generator.normal(scale=0.3, size=rows).cumsum() / 5) * (
        1 + np.abs(np.diff(close, prepend=close[0]))
    )
    mean = np.array([close[max(0, t - 9) : t + 1].mean() for t in range(rows)])
    columns = [close, inside[:, 0], inside.max(axis=1), inside.min(axis=1), volume, mean]
    return np.column_stack(columns), ["close", "open", "high", "low", "volume", "mean of 10"]


def autoregression(generator):
    target, other = np.zeros(ROWS), generator.normal(size=ROWS)
    for t in range(2, ROWS):
        target[t] = 1.2 * target[t - 1] - 0.5 * target[t - 2] + 0.4 * other[t] + generator.normal()
    return np.column_stack([target, other, np.roll(target, 3)])[3:], ["y", "input", "y 3 steps ago"]


def cycles(generator):
    """Something like sunspots, with its own square and a second observer of the same cycle."""
    phase = (2 * np.pi / 11 * (1 + 0.1 * generator.normal(size=ROWS))).cumsum()
    spots = 80 * (1 - np.cos(phase)) * np.exp(0.2 * generator.normal(size=ROWS))
    return np.column_stack([spots, spots**2, spots + 10 * generator.normal(size=ROWS)]), ["spots", "square", "observer"]


def load(generator):
    """Hourly load that follows the temperature of some hours ago; both have days."""
    hours = np.arange(4 * ROWS)
    slow = np.convolve(generator.normal(size=len(hours) + 47), np.ones(48) / 7, mode="valid")
    weather = 15 + 8 * np.sin(2 * np.pi * hours / 24) + slow
    demand = (
        500
        + 60 * np.sin(2 * np.pi * (hours - 3) / 24)
        - 5 * np.roll(weather, 2)
        + 8 * generator.normal(size=len(hours))
    )
    return np.column_stack([demand, weather, hours % 24]), ["load", "temperature", "hour"]


def clean_wave(generator):
    steps = np.arange(ROWS) + int(generator.integers(100))
    return np.column_stack([np.sin(steps / 4), np.cos(steps / 4), np.sin(steps / 9)]), ["sine", "cosine", "slow"]


@pytest.mark.parametrize("make", [market, autoregression, cycles, load, clean_wave], ids=lambda make: make.__name__)
@pytest.mark.parametrize("horizon", [1, 12])
def test_honest_tables_raise_no_alarm_whatever_the_seed(make, horizon):
    for seed in range(40):
        values, names = make(np.random.default_rng(seed))
        found = find_leaks(values, names, [names[0]], [], np.array([len(values)]), horizon)
        assert found == [], (seed, found)


@pytest.mark.parametrize("rows", [60, 150])
def test_short_honest_tables_raise_no_alarm(rows):
    for seed in range(100):
        values, names = market(np.random.default_rng(seed), rows)
        assert find_leaks(values, names, ["close"], [], np.array([rows]), 5) == [], seed


PLANTED = {
    "tomorrow": lambda price, noise: np.roll(price, -1),
    "tomorrow, with noise": lambda price, noise: np.roll(price, -1) + 0.1 * noise,
    "in 4 steps": lambda price, noise: np.roll(price, -4),
    "in 4 steps, with noise": lambda price, noise: -3 * np.roll(price, -4) + 0.1 * noise,
    "centred mean of 3": lambda price, noise: centred(price, 1),
    "centred mean of 5": lambda price, noise: centred(price, 2),
    "centred mean of 11": lambda price, noise: centred(price, 5),
    "next return": lambda price, noise: np.roll(price, -1) / price - 1,
    "sign of the next return, roughly": lambda price, noise: np.tanh(2 * (np.roll(price, -1) - price)),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("horizon", [1, 7])
def test_a_column_that_knows_the_future_is_named(name, horizon):
    for seed in range(10):
        generator = np.random.default_rng(seed)
        values, names = market(generator)
        price = values[:, 0]
        leak = PLANTED[name](price, generator.normal(size=ROWS) * np.diff(price).std())
        table = np.column_stack([values, leak])
        found = find_leaks(table, [*names, name], ["close"], [], np.array([ROWS]), horizon)
        assert len(found) == 1, seed
        assert f"column {name!r} knows the future of 'close'" in found[0]


def test_the_next_return_of_a_price_that_grew_a_hundredfold_is_found():
    generator = np.random.default_rng(0)
    price = np.exp(np.linspace(0, 4.6, 2000) + generator.normal(scale=0.01, size=2000).cumsum())
    table = np.column_stack([price, np.roll(price, -1) / price - 1])
    found = find_leaks(table, ["price", "return"], ["price"], [], np.array([2000]), 1)
    assert "over the next 1 step" in found[0]


def test_a_leak_is_found_across_gaps_and_many_short_series():
    generator = np.random.default_rng(1)
    series = [walk(generator, 31) for _ in range(40)]
    table = np.concatenate([np.column_stack([price[:-1], price[1:]]) for price in series])
    table[generator.random(table.shape) < 0.01] = np.nan
    found = find_leaks(table, ["price", "leak"], ["price"], [], np.full(40, 30), 3)
    assert len(found) == 1
    assert "'leak'" in found[0]


def test_one_row_in_which_all_jump_together_is_no_leak():
    generator = np.random.default_rng(2)
    price, event = walk(generator), np.zeros(ROWS)
    price[300:] += 200
    event[299] = 1.0
    assert find_leaks(np.column_stack([price, event]), ["price", "event"], ["price"], [], np.array([ROWS]), 3) == []


@pytest.mark.parametrize("scale", [1.0, -0.01])
def test_a_column_that_repeats_the_target_is_named_as_harmless(scale):
    values, names = market(np.random.default_rng(3))
    table = np.column_stack([values, scale * values[:, 0] + 7])
    found = find_leaks(table, [*names, "adjusted"], ["close"], [], np.array([ROWS]), 5)
    assert found == ["column 'adjusted' repeats 'close': it is the same up to scale, and adds nothing"]


def test_two_targets_that_are_one_are_named_once():
    price = walk(np.random.default_rng(4))
    found = find_leaks(np.column_stack([price, price]), ["a", "b"], ["a", "b"], [], np.array([ROWS]), 5)
    assert found == ["column 'a' repeats 'b': it is the same up to scale, and adds nothing"]


def test_a_column_known_ahead_may_not_be_the_target():
    generator = np.random.default_rng(5)
    values, names = load(generator)
    rows = np.array([len(values)])
    near = values[:, 0] + 0.05 * np.diff(values[:, 0]).std() * generator.normal(size=len(values))
    found = find_leaks(np.column_stack([values, near]), [*names, "plan"], ["load"], ["hour", "plan"], rows, 24)
    assert len(found) == 1
    assert "column 'plan' is said to be known ahead, but is 'load' itself" in found[0]


@pytest.mark.parametrize(("shift", "words"), [(1, "1 step later"), (4, "4 steps later"), (-2, "2 steps earlier")])
def test_nor_the_target_a_few_steps_apart(shift, words):
    price = walk(np.random.default_rng(6))
    table = np.column_stack([price, np.roll(price, shift)])
    found = find_leaks(table, ["price", "plan"], ["price"], ["plan"], np.array([ROWS]), 6)
    assert len(found) == 1
    assert f"but {words} it is 'price'" in found[0]
    if shift > 0:  # as far apart as the horizon it tells only what is known
        assert find_leaks(table, ["price", "plan"], ["price"], ["plan"], np.array([ROWS]), shift) == []


def test_an_honest_column_known_ahead_may_tell_much():
    for make in (load, clean_wave):
        for seed in range(10):
            values, names = make(np.random.default_rng(seed))
            assert find_leaks(values, names, [names[0]], names[1:], np.array([len(values)]), 24) == []


@pytest.mark.parametrize("make", [market, autoregression, cycles, load], ids=lambda make: make.__name__)
def test_shuffled_rows_are_noticed(make):
    noticed = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        values, names = make(generator)
        found = find_leaks(generator.permutation(values), names, [names[0]], [], np.array([len(values)]), 5)
        noticed += len(found) == 1 and found[0].startswith(
            f"rows look shuffled: neighbouring values of {names[0]!r} and"
        )
    assert noticed >= 30


def test_returns_beside_columns_in_order_are_not_called_shuffled():
    values, names = market(np.random.default_rng(7))
    returns = np.diff(values[:, 0])
    rows = np.array([len(returns)])
    assert find_leaks(np.column_stack([returns, values[1:, 1:]]), names, ["close"], [], rows, 5) == []
    found = find_leaks(returns[:, None], ["return"], ["return"], [], rows, 5)
    assert found[0].endswith("if these are returns or noise, ignore this")


def test_a_season_without_likeness_of_neighbours_is_not_called_shuffled():
    noise = np.random.default_rng(8).normal(size=(ROWS, 1))
    season = np.tile([0.0, 1.0, 0.0, -1.0], ROWS // 4)[:, None]
    assert find_leaks(season + 0.3 * noise, ["y"], ["y"], [], np.array([ROWS]), 4) == []


def test_tables_with_nothing_to_tell_are_silent():
    for values in (np.zeros((80, 2)), np.full((80, 2), np.nan), np.zeros((0, 2)), np.ones((3, 2)) * [[1], [2], [3]]):
        assert find_leaks(values, ["a", "b"], ["a"], [], np.array([len(values)]), 5) == []
    assert find_leaks(np.zeros((4, 1)), ["a"], ["a"], ["a"], np.array([1, 0, 3]), 1) == []


def test_a_name_that_is_no_column_is_refused():
    with pytest.raises(DataError, match="did you mean 'price'"):
        find_leaks(np.zeros((80, 1)), ["price"], ["prize"], [], np.array([80]), 5)


def test_what_is_looked_at_does_not_grow_with_the_rows(monkeypatch):
    standard, seen = leaks._standard, []
    monkeypatch.setattr(leaks, "_standard", lambda table: seen.append(len(table)) or standard(table))
    values = np.random.default_rng(9).normal(size=(300_000, 3)).cumsum(axis=0)
    values[:-2, 2] = values[2:, 0]
    for lengths in ([300_000], [3] * 10 + [299_970], [30] * 10_000):
        found = find_leaks(values, ["a", "b", "c"], ["a"], [], np.array(lengths), 4)
        assert len(found) == 1, lengths
        assert "over the next 2 steps" in found[0]
    assert len(seen) == 3
    assert max(seen) <= 1.1 * leaks._ROWS  # blocks are of unequal lengths
