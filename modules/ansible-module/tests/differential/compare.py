"""Compares the argument check with ansible-core's, over generated specs and inputs.

Run with a Python that can import ansible-core:

    python compare.py --cases 400              the short run
    python compare.py --cases 20000            the full run
    python compare.py --cases 1 --seed 4711    one case again, as a failure reports it
    python compare.py --table FILE ...         a module's own table (its --argspec) instead of generated ones

Deliberate differences are the rows of differences.md; each has its rule here under the row's name.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import pathlib
import subprocess
import sys
from typing import Any

import reference
from cases import Maker

Mismatch = tuple[str, Any, Any]


def main() -> int:
    """Runs the cases, reports the mismatches, and fails when there are any or when the cases prove nothing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1, help="the first case; each case has the next seed")
    parser.add_argument("--validator", help="the built example `validate`; built with cargo when not given")
    parser.add_argument("--table", nargs="*", default=[], help="output of a module's --argspec")
    parser.add_argument("--show", type=int, default=5, help="mismatches to show in full")
    arguments = parser.parse_args()

    tables = [json.loads(pathlib.Path(name).read_text()) for name in arguments.table] or [None]
    seeds = range(arguments.seed, arguments.seed + arguments.cases)
    cases = [Maker(seed).case(table) for table in tables for seed in seeds]
    lines = "".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases)
    validator = arguments.validator or build()
    done = subprocess.run([validator], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    # Bytes, because text would also be split at line separators inside of strings.
    ours = [json.loads(line) for line in done.stdout.splitlines()]

    tally: collections.Counter[str] = collections.Counter()
    failures = 0
    for at, (case, mine) in enumerate(zip(cases, ours, strict=True)):
        theirs = reference.validate(case)
        tally["accepted" if theirs["ok"] else "refused"] += 1
        mismatches, rule = compare(case, theirs, mine)
        if rule:
            tally[rule] += 1
        if mismatches:
            failures += 1
            if failures <= arguments.show:
                report(seeds[at % len(seeds)], case, mismatches)
    print(
        f"{len(cases)} cases, {failures} mismatches: "
        + ", ".join(f"{n} {what}" for what, n in sorted(tally.items()))
    )
    if (
        not arguments.table
        and len(cases) >= 200
        and min(tally["accepted"], tally["refused"]) < len(cases) // 10
    ):
        print("the cases are too one-sided to prove anything: mend cases.py")
        return 1
    return 1 if failures else 0


def build() -> str:
    """Builds the filter and gives its path."""
    command = [
        "cargo",
        "build",
        "--quiet",
        "-p",
        "ansible-module",
        "--example",
        "validate",
        "--message-format",
        "json",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return next(
        m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "validate"
    )


def compare(
    case: dict[str, Any], theirs: dict[str, Any], mine: dict[str, Any]
) -> tuple[list[Mismatch], str | None]:
    """What differs, and the row of differences.md that was applied, if one was."""
    rule = deliberate(case, theirs)
    if rule in ("no JSON form", "64 bits", "crash"):
        return ([] if not mine["ok"] else [("ok", False, True)]), rule
    if rule in ("secret structures", "digits of other scripts"):
        return [], rule
    found: list[Mismatch] = []
    if theirs["ok"] != mine["ok"]:
        found.append(("ok", theirs["ok"], mine["ok"]))
    spec = case["argument_spec"]
    if not same(without_aliases(spec, theirs["params"]), without_aliases(spec, mine["params"])):
        found.append(("params", theirs["params"], mine["params"]))
    expected = [[name, normal(text)] for name, text in theirs["errors"]]
    actual = [[name, normal(text)] for name, text in mine["errors"]]
    if expected != actual:
        found.append(("errors", theirs["errors"], mine["errors"]))
    for field in ("warnings", "deprecations"):
        if theirs[field] != mine[field]:
            found.append((field, theirs[field], mine[field]))
    found.extend(compare_secrets(case, theirs, mine))
    return found, rule


def compare_secrets(case: dict[str, Any], theirs: dict[str, Any], mine: dict[str, Any]) -> list[Mismatch]:
    """Rows "converted secrets" and "every secret": ours may be more, never fewer, and must mask the same way."""
    secrets = set(mine["secrets"])
    found: list[Mismatch] = []
    # Row "booleans are no secrets".
    if missing := {s for s in theirs["secrets"] if s and s not in ("True", "False")} - secrets:
        found.append(("secrets", missing, secrets))
    converted = reference.secrets_in(case["argument_spec"], mine["params"])
    if theirs["ok"] and (extra := secrets - theirs["secrets"] - converted):
        found.append(("secrets too many", theirs["secrets"] | converted, extra))
    expected = reference.masked(mine["params"], secrets)
    if not same(expected, mine["masked"]):
        found.append(("masked", expected, mine["masked"]))
    return found


def deliberate(case: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """The row of differences.md that applies to a whole case."""
    if any(name == "Crash" for name, _ in theirs["errors"]):
        return "secret structures" if "unhashable type" in theirs["errors"][0][1] else "crash"
    if any(
        c.isdecimal() and not c.isascii() for value in leaves(case) if isinstance(value, str) for c in value
    ):
        return "digits of other scripts"
    values = list(leaves(theirs["params"]))
    if not theirs["ok"] and any(
        literal in str(value) for value in leaves(case["params"]) for literal in ("b'x'", "1j")
    ):
        return "no JSON form"
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        return "no JSON form"
    if any(isinstance(value, (bytes, complex)) for value in values):
        return "no JSON form"
    if any(isinstance(value, int) and not -(2**63) <= value < 2**64 for value in values):
        return "64 bits"
    return None


def without_aliases(options: dict[str, Any], params: Any) -> Any:
    """Row "used aliases": without the structures that aliases hold, which ansible-core shares with their options."""
    if isinstance(params, list):
        return [without_aliases(options, item) for item in params]
    if not isinstance(params, dict):
        return params
    aliases = {alias for option in options.values() for alias in option.get("aliases", [])}
    kept = {
        key: item for key, item in params.items() if key not in aliases or not isinstance(item, (dict, list))
    }
    return {key: without_aliases(options.get(key, {}).get("options", {}), item) for key, item in kept.items()}


def leaves(value: Any) -> Any:
    """Every scalar of a structure, keys apart."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def plain(value: Any) -> Any:
    """Row "literals": what JSON makes of a structure."""
    if isinstance(value, dict):
        return {json_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, set):
        return sorted((plain(item) for item in value), key=repr)
    return value


def json_key(key: Any) -> str:
    """A key as `json.dumps` writes it."""
    return next(iter(json.loads(json.dumps({key: 0})))) if not isinstance(key, tuple) else repr(key)


def same(a: Any, b: Any) -> bool:
    """Equal, with the types of scalars: 1 is not 1.0, but row "whole booleans" allows True for 1."""
    a, b = plain(a), plain(b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, bool) and type(b) is int:
        return int(a) == b
    return type(a) is type(b) and a == b


def normal(text: str) -> str:
    """Rows "boolean words" and "supported parameters" (order left to chance), and "whole booleans" in texts."""
    for mark in ("got: ", "Got no match for: "):
        head, found, rest = text.partition(mark)
        text = head + found + rest.replace("True", "1").replace("False", "0") if found else text
    head, mark, words = text.partition("Valid booleans include: ")
    if mark:
        text = head + mark + ", ".join(sorted(words.split(", ")))
    head, mark, _ = text.partition(". Supported parameters include: ")
    return head if mark and ", " in head else text


def report(seed: int, case: dict[str, Any], mismatches: list[Mismatch]) -> None:
    """One mismatch, with what is needed to see it again."""
    print(f"seed {seed}: {json.dumps(case)}")
    for field, expected, actual in mismatches:
        print(f"  {field}\n    ansible-core: {expected!r}\n    ours:         {actual!r}")


if __name__ == "__main__":
    sys.exit(main())
