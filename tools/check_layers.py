#!/usr/bin/env python3
"""Checks who includes whom, by tools/layers.txt and the rules beside it. Prints file:line: message; exit 1 on any.

- src/X/* includes only headers of X and of the layers named after "X:"; src/main.c is part of app.
- x_priv.h is included only inside its own folder (a unit test test_X_* counts as inside X).
- A foreign library's header appears in one folder only: a change of library is then a change of one folder.
- http never includes wal or kv, whatever the table says: a handler cannot bypass the engine.
- No cycle: a layer may only name layers that stand above it in the table.
"""
import pathlib
import re
import sys

FOREIGN = {  # pattern of the header -> the one place for it (folder, or a file in it)
    r"microhttpd": "src/http/",
    r"yajl": "src/json/",
    r"unicode/": "src/json/",
    r"pcre2": "src/mango/regex.c",
    r"leveldb/": "src/kv/",
    r"faiss/": "src/vector/faiss_shim.cc",
    r"curl/": "src/repl/",
    r"gnutls/": "src/base/",
    r"zlib\.h": "src/base/",
    r"(cblas|lapacke|omp)\.h": "src/vector/",
    r"cmocka\.h": "tests/",
}
NEVER = {("http", "wal"), ("http", "kv")}
INCLUDE = re.compile(r'\s*#\s*include\s*(["<])([^">]+)[">]')


def read_table(path):
    allow = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, _, deps = line.partition(":")
        for dep in deps.split():
            if dep not in allow:
                sys.exit(f"{path}:{number}: {name} names {dep}, which does not stand above it")
        allow[name.strip()] = set(deps.split()) | {name.strip()}
    return allow


def layer_of(path):
    parts = path.parts
    if parts[0] == "src":
        return parts[1] if len(parts) > 2 else "app"
    if parts[:2] == ("tests", "unit") and path.name.startswith("test_"):
        return path.stem.split("_")[1]
    return None  # other tests may reach every layer


def problem(path, layer, allow, quote, header):
    """What is wrong with this include, or None."""
    name = path.as_posix()
    for pattern, place in FOREIGN.items():
        if re.match(pattern, header) and not name.startswith(place):
            return f"<{header}> belongs to {place}"
    folder, _, rest = header.rpartition("/")
    if quote == '"' and folder == "" and name.startswith("src/") and header != "version.h":
        return f'"{header}": write the folder, "layer/{header}"'
    if folder not in allow:
        return None
    if rest.endswith("_priv.h") and layer is not None and folder != layer:
        return f"{header} is private to src/{folder}"
    if layer is None:
        return None
    if path.parts[0] == "src" and (layer, folder) in NEVER:
        return f"{layer} never includes {folder}: a handler cannot bypass the engine"
    if folder not in allow[layer]:
        return f"{layer} may not include {header} (tools/layers.txt)"
    return None


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    allow = read_table(root / "tools/layers.txt")
    bad = 0
    files = [f for top in ("src", "tests") for f in (root / top).rglob("*") if f.suffix in (".c", ".h", ".cc")]
    for full in sorted(files):
        path = full.relative_to(root)
        layer = layer_of(path)
        if layer is not None and layer not in allow:
            print(f"{path}:1: no layer named {layer} in tools/layers.txt")
            bad += 1
            continue
        for number, line in enumerate(full.read_text(errors="replace").splitlines(), 1):
            found = INCLUDE.match(line)
            message = found and problem(path, layer, allow, found[1], found[2])
            if message:
                print(f"{path}:{number}: {message}")
                bad += 1
    print(f"check_layers: {len(files)} files, {bad} problems")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
