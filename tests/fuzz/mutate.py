"""Damage done to files at random: to bytes, and to values of JSON where a file holds some."""

import copy
import json
import random

# Values that a reader may not expect; texts that begin with RAW go into the file without quotes.
RAW = "\0raw:"
ODD = (
    *(None, True, -1, 0, 1, 1.5, 2**31, 2**63 - 1, -(2**63), 10**30, "", "x", "\ud800", "a\0b"),
    *("..", "/etc/passwd", "a" * 5000, [], {}, [None], {"": 0}, [[]], "1e999", "en", "2026-13-01"),
    *(RAW + text for text in ("NaN", "1e999", "1" * 5000, "[" * 20_000, "[" * 500 + "]" * 500)),
)


def mutate_bytes(draw: random.Random, content: bytes) -> bytes:
    """``content`` with one to eight changes: bits, bytes, numbers, parts cut out or doubled."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 8))):
        at = draw.randrange(len(data) + 1)
        length = min(len(data) - at, draw.choice((1, 1, 2, 4, 8, 64, 4096)))
        kind = draw.randrange(7)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[at : at + length] = draw.randbytes(length)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length] * draw.choice((1, 2, 100))
        elif kind == 5:
            number = draw.choice((0, 1, -1, 2**31 - 1, 2**31, 2**62, 2**63 - 1))
            size = draw.choice((4, 8))
            data[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, "little")
        else:
            other = draw.randrange(len(data) + 1)
            data[at : at + length] = data[other : other + length]
    return bytes(data)


def mutate_json(draw: random.Random, value: object) -> str:
    """``value`` as JSON with one to three values exchanged, left out or doubled."""
    value = copy.deepcopy(value)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            break
        group, key = draw.choice(places)
        kind = draw.randrange(8)
        if kind == 0:
            del group[key]
        elif kind == 1:
            other, name = draw.choice(places)
            group[key] = copy.deepcopy(other[name])
        elif kind == 2 and isinstance(group, dict):
            group[draw.choice(("", "x", "é\n", "__class__"))] = group.pop(key)
        elif kind == 3 and isinstance(group, list):
            group += copy.deepcopy(group)
        else:
            group[key] = draw.choice(ODD)
    text = json.dumps(value, ensure_ascii=draw.random() < 0.5, indent=draw.choice((None, 1)))
    for odd in ODD:
        if isinstance(odd, str) and odd.startswith(RAW):
            text = text.replace(json.dumps(odd), odd.removeprefix(RAW))
    return text


def _places(value: object):
    """Every group in a value, with each of its keys."""
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield value, key
            yield from _places(value[key])
