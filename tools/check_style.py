#!/usr/bin/env python3
"""The rules of CONTRIBUTING.md that neither the compiler nor clang-tidy knows. Prints file:line: message; exit 1 on any.

- Banned calls: unbounded (strcpy, sprintf, ...), thread-unsafe (localtime, ...), wrong on bad input (atoi), malloc and
  friends outside base/alloc. Grepped, because a header full of #pragma poison disarms itself when included early.
- TRY() returns at once, so it must not stand in a function that cleans up at an `out:` label.
- A file has at most 600 lines, a line at most 100 columns, no tabs, no trailing blanks.
- Every file opens with a comment that says what it is for.

A line may ask for an exemption with `style-ok: reason` in a comment.
"""
import pathlib
import re
import sys

LINES_MAX = 600
COLUMNS_MAX = 100
BANNED = {
    "strcpy": "memcpy with a length", "strcat": "struct buf", "sprintf": "snprintf or buf_putf",
    "vsprintf": "vsnprintf", "strtok": "slices", "atoi": "a parser that reports errors", "atol": "a parser",
    "atof": "a parser", "gets": "nothing", "gmtime": "gmtime_r", "localtime": "localtime_r", "asctime": "strftime",
    "ctime": "strftime", "rand": "base random", "srand": "base random", "alloca": "the arena",
    "strncpy": "memcpy with a length", "sscanf": "a parser", "system": "nothing", "popen": "nothing",
    "strerror": "strerror_r through base",
}
ALLOC = {name: "base/alloc.h" for name in
         ("malloc", "calloc", "realloc", "free", "strdup", "strndup", "reallocarray", "aligned_alloc", "posix_memalign")}
CALL = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join([*BANNED, *ALLOC]))
ALLOC_FILES = ("src/base/alloc.c", "src/base/alloc.h")


def strip_code(text):
    """The text with comments and string contents blanked, line structure kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0]) if match[0][0] == "/" else '""' + " " * (len(match[0]) - 2)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text, flags=re.S)


def check_calls(path, code_lines):
    unit_test = path.startswith("tests/")
    for number, line in enumerate(code_lines, 1):
        if line.lstrip().startswith("#"):
            continue
        for found in CALL.finditer(line):
            name = found[1]
            if name in ALLOC and (unit_test or path in ALLOC_FILES or path.endswith(".cc")):
                continue
            yield number, f"{name}() is banned: use {BANNED.get(name) or ALLOC[name]}"


def check_try(code_lines):
    """TRY( between the opening and the closing brace of a function that has an out: label."""
    tries, label = [], False
    for number, line in enumerate(code_lines, 1):
        if line.startswith("{"):
            tries, label = [], False
        if re.search(r"\bTRY\s*\(", line) and not line.lstrip().startswith("#"):
            tries.append(number)
        if re.match(r"\s*out:", line):
            label = True
        if line.startswith("}") and label:
            for at in tries:
                yield at, "TRY() in a function with an out: label leaks; assign st and goto out"
            tries, label = [], False


def check_lines(lines):
    if len(lines) > LINES_MAX:
        yield LINES_MAX + 1, f"{len(lines)} lines, at most {LINES_MAX}: split the file"
    if not lines or not lines[0].startswith(("/*", "//")):
        yield 1, "no opening comment: say what the file is for"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            yield number, f"{len(line)} columns, at most {COLUMNS_MAX}"
        if "\t" in line:
            yield number, "tab"
        if line != line.rstrip():
            yield number, "blank at the end of the line"


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    bad = count = 0
    for top in ("src", "tests"):
        for full in sorted((root / top).rglob("*")):
            if full.suffix not in (".c", ".h", ".cc"):
                continue
            count += 1
            path = full.relative_to(root).as_posix()
            text = full.read_text(errors="replace")
            lines = text.splitlines()
            code = strip_code(text).splitlines()
            for number, message in [*check_lines(lines), *check_calls(path, code), *check_try(code)]:
                if number <= len(lines) and "style-ok:" in lines[number - 1]:
                    continue
                print(f"{path}:{number}: {message}")
                bad += 1
    print(f"check_style: {count} files, {bad} problems")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
