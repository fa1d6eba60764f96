"""Reads the machine's own package catalogue, `apt-cache dumpavail`: tens of thousands of real records."""

import os
import shutil
import subprocess

from embed import words_of

FIELDS = ("Package", "Version", "Section", "Installed-Size", "Size", "Depends", "Tag", "Description", "Description-en")


def dump():
    """The catalogue as apt prints it; refreshes apt's lists when they are empty and we may."""
    text = _run(["apt-cache", "dumpavail"])
    if text.strip():
        return text
    update = ["apt-get", "update", "-q"]
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            raise SystemExit("demo: apt knows no packages yet; please run as root: apt-get update")
        update = ["sudo", *update]
    print("demo: apt knows no packages yet, running apt-get update", flush=True)
    _run(update)
    text = _run(["apt-cache", "dumpavail"])
    if not text.strip():
        raise SystemExit("demo: `apt-cache dumpavail` prints nothing; is a package source configured?")
    return text


def _run(command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode("utf-8", "replace")


def _records(text):
    """The stanzas as {field: value}; continuation lines are joined to their field."""
    record, field = {}, None
    for line in text.split("\n"):
        if not line:
            if record:
                yield record
            record, field = {}, None
        elif line[0] in " \t":
            if field:
                record[field] += "\n" + line[1:]
        else:
            name, _, value = line.partition(":")
            field = name if name in FIELDS else None
            if field:
                record[field] = value.strip()
    if record:
        yield record


def packages(text):
    """One document a package, without embedding: the last record of a name wins (apt prints the candidate last)."""
    by_name = {}
    for record in _records(text):
        name = record.get("Package")
        if not name:
            continue
        description = record.get("Description-en") or record.get("Description") or ""
        by_name[name] = (
            {
                "_id": name,
                "name": name,
                "section": record.get("Section", "unknown"),
                "description": description.replace("\n.\n", "\n\n"),
                "depends": [d.split()[0].split(":")[0] for d in record.get("Depends", "").split(",") if d.strip()],
                "size": int(record.get("Size", 0)),
                "installed_kb": int(record.get("Installed-Size", 0)),
                "version": record.get("Version", ""),
            },
            record.get("Tag", ""),
        )
    return [by_name[name] for name in sorted(by_name)]


def weighted_words(document, tags=""):
    """What the embedding sees: the description once, its first line and the name double, Debian's tags half."""
    weights = {}

    def add(text, weight):
        for word in words_of(text):
            weights[word] = weights.get(word, 0) + weight

    first, _, rest = document["description"].partition("\n")
    add(document["name"], 2)
    add(first, 2)
    add(rest, 1)
    add(" ".join(tag.split("::")[-1] for tag in tags.replace("\n", " ").split(",")), 1)
    return weights
