"""Vectors for tests: seeded, encoded, and searched exactly in float64 (standard library only)."""

import base64
import math
import random
import struct


def pack(vector):
    """The wire form: base64 of little-endian float32."""
    return base64.b64encode(struct.pack("<%df" % len(vector), *vector)).decode("ascii")


def unpack(text):
    raw = base64.b64decode(text)
    return list(struct.unpack("<%df" % (len(raw) // 4), raw))


def f32(vector):
    """What a vector is after the trip through float32."""
    return list(struct.unpack("<%df" % len(vector), struct.pack("<%df" % len(vector), *vector)))


def random_vectors(count, dims, seed=1):
    rng = random.Random(seed)
    return [f32([rng.gauss(0, 1) for _ in range(dims)]) for _ in range(count)]


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b))


def score(metric, a, b):
    """(score, distance) as the API defines them; distance is None for dot."""
    if metric == "dot":
        return dot(a, b), None
    if metric == "cosine":
        cosine = dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))
        return cosine, 1 - cosine
    distance = math.sqrt(math.fsum((x - y) ** 2 for x, y in zip(a, b)))
    return 1 / (1 + distance), distance


def nearest(metric, query, items, limit):
    """The ids nearest to query among {id: vector}: score down, then id up."""
    ranked = sorted((-score(metric, query, v)[0], i.encode()) for i, v in items.items())
    return [i.decode() for _, i in ranked[:limit]]
