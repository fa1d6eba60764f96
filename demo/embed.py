"""Turns a few words of English into 256 numbers, so that texts about the same thing point the same way.

This stands for *your* embedding model. Divan stores and searches vectors, it does not make them; a real application
calls a sentence encoder here. This one needs nothing but numpy, downloads nothing and embeds some 20,000 texts a second:

  1. words, in lower case, plurals and common endings cut, stop words gone;
  2. TF-IDF: a word counts by how rare it is among all texts, 1 + log(how often it stands here);
  3. a seeded random direction of 256 dimensions for each word (its hash is the seed: nothing to store);
  4. word context: a word's direction leans towards the words it is often found with, so that "vi" and "editor"
     are related though no letter is the same (one step of random indexing, a cheap relative of word2vec).

A text's vector is the weighted sum of its words' directions, scaled to length 1.
"""

import base64
import hashlib
import math
import os
import re

import numpy

DIMS = 256
SEED = b"divan-demo-1"
CONTEXT = 0.45  # how far a word leans towards its company, against 1 for itself
COMMON = 0.12  # a word found in more than this part of all texts says nothing
RARE = 2  # words in fewer texts than this get no context of their own

STOP = frozenset(
    """a about above after again against all also an and another any are as at based be because been before being
    between both but by can common contains could different do does each easy etc every few file files for from full
    further general has have having how i if in include included includes including into is it its just like made
    main make makes many may more most much multiple needed new no not of off on one only or other others our out over
    own package packages part per provide provided provides providing same set several shared should similar simple
    small so some such support supported supporting supports than that the their them then there these they this those
    through to too two under up upon use used useful user users uses using various version very via was way well were
    what when where which while who will with within without work works written you your""".split()
)
WORD = re.compile(r"[a-z][a-z0-9+#]*|[0-9]+[a-z]+")
ENDINGS = (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("ss", "ss"), ("us", "us"),
           ("is", "is"), ("s", ""))


def stem(word):
    """The word without plural s, -ing, -ed and -er: enough to make game and games, play and playing one word."""
    if len(word) > 3:
        for ending, instead in ENDINGS:
            if word.endswith(ending):
                word = word[: len(word) - len(ending)] + instead
                break
    for ending in ("ing", "ed", "er"):
        root = word[: -len(ending)]
        if word.endswith(ending) and len(root) >= 3 and re.search("[aeiouy]", root):
            if root[-1] == root[-2] and root[-1] not in "lsz":
                root = root[:-1]
            return root.rstrip("e")
    return word.rstrip("e") if len(word) > 4 else word


def words_of(text):
    """The stems of the words of a text that say something."""
    for word in WORD.findall(text.lower()):
        if len(word) > 1 and word not in STOP:
            yield stem(word)


def direction(word):
    """A word's own seeded random direction: 256 signs out of one hash."""
    bits = hashlib.shake_128(SEED + word.encode()).digest(DIMS // 8)
    return numpy.unpackbits(numpy.frombuffer(bits, numpy.uint8)).astype(numpy.float32) * 2 - 1


class Embedder:
    """Learns how rare each word is, and its company, from a list of {word: weight} texts; then embeds texts like them."""

    def __init__(self, texts):
        counts = {}
        for text in texts:
            for word in text:
                counts[word] = counts.get(word, 0) + 1
        self.total = max(1, len(texts))
        self.number = {word: i for i, word in enumerate(counts)}
        seen = numpy.fromiter(counts.values(), numpy.float32, len(counts))
        self.idf = numpy.log(self.total / seen) + 0.2
        self.idf[seen > COMMON * self.total] *= 0.1
        self.table = numpy.zeros((len(counts), DIMS), numpy.float32)
        for word, i in self.number.items():
            self.table[i] = direction(word)
        self.table /= math.sqrt(DIMS)
        self._learn_company(texts, seen)

    def _learn_company(self, texts, seen):
        """Adds to each word the mean direction of the texts it stands in."""
        company = numpy.zeros_like(self.table)
        for first in range(0, len(texts), 4096):
            block = texts[first : first + 4096]
            rows, columns, vectors = [], [], self.embed(block)
            for row, text in enumerate(block):
                for word in text:
                    rows.append(row)
                    columns.append(self.number[word])
            numpy.add.at(company, numpy.array(columns, int), vectors[numpy.array(rows, int)])
        company -= company.mean(axis=0)
        company[seen < RARE] = 0
        company /= numpy.maximum(numpy.linalg.norm(company, axis=1, keepdims=True), 1e-9)
        self.table += CONTEXT * company
        self.table /= numpy.linalg.norm(self.table, axis=1, keepdims=True)

    def save(self, path):
        """What was learned, in a file for the next run; written beside and renamed, so it is whole or not there."""
        words = numpy.frombuffer("\n".join(self.number).encode(), numpy.uint8)
        with open(path + ".new", "wb") as file:
            numpy.savez(file, words=words, idf=self.idf, table=self.table.astype(numpy.float16), total=self.total)
        os.replace(path + ".new", path)

    @classmethod
    def load_or_none(cls, path):
        """The embedder saved at path, or None when there is none that can be read."""
        try:
            with numpy.load(path) as file:
                made = cls.__new__(cls)
                words = file["words"].tobytes().decode().split("\n")
                made.number = {word: i for i, word in enumerate(words)}
                made.idf, made.total = file["idf"], int(file["total"])
                made.table = file["table"].astype(numpy.float32)
                return made
        except (OSError, ValueError, KeyError):
            return None

    def embed(self, texts):
        """One row of 256 float32 of length 1 for each {word: weight}; unknown words count by their own direction."""
        out = numpy.zeros((len(texts), DIMS), numpy.float32)
        for row, text in enumerate(texts):
            known = [(self.number[w], n) for w, n in text.items() if w in self.number]
            if known:
                index = numpy.array([i for i, _ in known])
                weight = (1 + numpy.log(numpy.array([n for _, n in known], numpy.float32))) * self.idf[index]
                out[row] = weight @ self.table[index]
            for word, times in text.items():
                if word not in self.number:
                    out[row] += (1 + math.log(times)) * math.log(self.total) * direction(word) / math.sqrt(DIMS)
            length = float(numpy.linalg.norm(out[row]))
            if length > 0:
                out[row] /= length
            else:
                out[row, 0] = 1  # a text without a word: some fixed direction, cosine needs a length
        return out


def to_base64(vector):
    """The form Divan takes beside an array of numbers: little-endian float32, a third of the size."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
