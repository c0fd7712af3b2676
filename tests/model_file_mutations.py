"""Model files as somebody may make them who knows their grammar: one or a few places of a right one changed.

Every change follows from its number alone, so that a file that does harm can be made again.
"""

from __future__ import annotations

import copy
import json
import random
import struct

NUMBERS = (0, -0.0, 1, -1, 2, 0.5, 1e-310, 1e300, -1e300, 1e308, float("inf"), float("-inf"), float("nan"), 255, 2**31)
NUMBERS += (2**53, 2**63, -(2**63), 2**64 + 1, 10**30, 1e18, 900_000_000, 4_000_000)
TEXTS = ("", " ", "x", "\0", "\ud800", "北京", "\U0001f600", "a" * 5000, "number", "category", "left out", "U900000000")
TEXTS += ("(1000000,50)f8", "<U1", "int64", "object", "M8[us]", "i4,i4", "bio", "iobes", "level", "log-return", "month")
TEXTS += ("9999-12-31 00:00:00.000000", "-1", "NaN", "BiLSTMTagger", "BiLSTMRegressor", "auto", "cuda:7", "../x", "O")
PLAIN = (None, True, False, [], {}, [[]], [None], {"": None})
DTYPES = ("F64", "F32", "F16", "BF16", "BOOL", "I64", "I32", "U8", "F8_E4M3", "")


def mutated(raw: bytes, number: int) -> bytes:
    """The bytes of a model file with one to three changes, which ``number`` chooses."""
    draw = random.Random(number)
    outer, inner, data = parts(raw)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        what = draw.random()
        if what < 0.75:
            change_value(inner, draw)
        elif what < 0.87:
            change_value({name: entry for name, entry in outer.items() if name != "__metadata__"}, draw, DTYPES)
        elif what < 0.95:
            data = changed_weights(data, draw)
        else:
            name = draw.choice([name for name in outer if name != "__metadata__"])
            outer[draw.choice([name, name + "x", "output.bias"])] = outer.pop(name)
    made = whole(outer, inner, data)
    return made if draw.random() < 0.95 else damaged(made, draw)


def parts(raw: bytes):
    length = struct.unpack("<Q", raw[:8])[0]
    outer = json.loads(raw[8 : 8 + length])
    return outer, json.loads(outer["__metadata__"]["bilstm"]), raw[8 + length :]


def whole(outer, inner, data: bytes) -> bytes:
    """The other way."""
    text = json.dumps(outer | {"__metadata__": {"bilstm": json.dumps(inner)}}).encode()
    return struct.pack("<Q", len(text)) + text + data


def places(node):
    """Every value of JSON with what holds it: (holder, key)."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from places(node[key])


def change_value(root, draw: random.Random, texts=()) -> None:
    """Exchange, remove, repeat, rename or misplace one value; of long lists a place is not likelier than of short."""
    every: dict[tuple[int, bool], list] = {}
    for holder, key in places(root):
        every.setdefault((id(holder), isinstance(holder, list)), []).append((holder, key))
    holder, key = draw.choice(draw.choice(list(every.values())))
    change = draw.randrange(9)
    if change == 0 and isinstance(holder, (dict, list)):
        del holder[key]
    elif change == 1 and isinstance(holder, dict):
        holder[draw.choice(TEXTS)] = holder.pop(key)
    elif change == 2 and isinstance(holder[key], list):
        holder[key] = holder[key] * draw.choice((0, 2, 3, 50_000 // max(1, len(holder[key]))))
    elif change == 3:  # a value of elsewhere
        other, place = draw.choice(draw.choice(list(every.values())))
        holder[key] = copy.deepcopy(other[place])
    elif change == 4 and isinstance(holder[key], list):
        draw.shuffle(holder[key])
    elif change == 5:
        node = draw.choice(({}, [], 0))
        for _ in range(draw.choice((3, 90, 400))):
            node = draw.choice(([node], {"a": node}))
        holder[key] = node
    elif change == 6 and type(holder[key]) in (int, float):
        holder[key] = draw.choice(
            (holder[key] + 1, holder[key] - 1, -holder[key], holder[key] * 1000, str(holder[key]))
        )
    else:
        holder[key] = draw.choice((*NUMBERS, *TEXTS, *texts, *PLAIN))


def changed_weights(data: bytes, draw: random.Random) -> bytes:
    """Weights that are no numbers, are huge, or are too few or too many."""
    change = draw.randrange(4)
    if change == 0:
        return data[: draw.randrange(len(data))]
    if change == 1:
        return data + bytes(draw.choice((1, 4, 4096)))
    value = struct.pack("<f", draw.choice((float("nan"), float("inf"), -3e38, 1e-45)))
    if change == 2:
        return value * (len(data) // 4)
    place = draw.randrange(len(data) // 4) * 4
    return data[:place] + value + data[place + 4 :]


def damaged(raw: bytes, draw: random.Random) -> bytes:
    """A few bytes that are others, wherever they lie."""
    made = bytearray(raw)
    for _ in range(draw.randrange(1, 5)):
        made[draw.choice((draw.randrange(8), draw.randrange(len(made))))] = draw.randrange(256)
    return bytes(made)
