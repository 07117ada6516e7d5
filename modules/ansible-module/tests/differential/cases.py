"""Generated argument specs and inputs, the same for the same seed.

Most values fit their option or nearly do; the rest are taken from a pool of everything awkward.
"""

from __future__ import annotations

import random
from typing import Any

KINDS = ["str", "int", "float", "bool", "list", "dict", "path", "raw", "json", "bytes", "bits"]
NAMES = [
    "name",
    "state",
    "size",
    "mode",
    "peers",
    "address",
    "count",
    "token",
    "label",
    "path",
    "flag",
    "extra",
]
ALIASES = ["nm", "st", "sz", "host", "addr", "cnt", "secret", "dest", "on", "opt"]
COLLECTION = "example.test"

BOOL_WORDS = [
    "yes",
    "no",
    "on",
    "off",
    "true",
    "false",
    "True",
    "FALSE",
    "y",
    "N",
    "t",
    "f",
    "1",
    "0",
    " yes ",
    "\tno\n",
]
STRINGS = [
    "", " ", "a", "hello", "a,b", "a,b,,c", "x=1", "k1=v1 k2=v2", "k1=v1, k2=v2", "k='a b' j=2", 'k="a,b"', "k=a\\ b",
    "a=b=c", "=", "a b=c", "a=1 b", "{}", "{", '{"a": 1}', '{"a": [1, 2, {"b": null}]}', "{'a': 1, 'b': [1, 2]}",
    "{'a': True, 'b': None}", "{'a': (1, 2)}", "{'a': 'x' 'y'}", "{'a': r'\\n', 'b': '\\x41\\n\\101'}", "{1: 2}",
    "{'a', 'b'}", "{'a': -1.5e3, 'b': 0x1f, 'c': 1_000}", "{'a': b'x'}", "{'a': 1j}", "{'a': 1,}", "{,}", "{'a': 01}",
    "{'a': '''x\ny'''}", "{'a': [(1), (1,), ()]}", "{'a': {}}x", "{ 'a' : 1 } # c", "{'a': foo}", '{"a": NaN}',
    "{'a': +1, 'b': - 1}", "{'a': u'x'}", "{None: 1, True: 2}", "{'a': \"it's\"}", "{'a': 1 + 2}", "{'a': .5, 'b': 5.}",
    "~", "~/x", "~root", "~root/x", "~nobody-such/x", "$HOME", "${HOME}/x", "$NOSUCH/x", "${NOSUCH}", "${", "$", "a$HOME",
    "$HOMEx", "~$HOME", "/a//b/", "./~", "$$HOME", "${HOME", "\u00e9$HOME\u00e9", "$HOME\u00e9",
    "1", "-1", "+1", " 7 ", "7.0", "7.5", "1e3", "1E+2", "1e-2", "1000e-2", "1_000", "_1", "1__0", "0x10", "010", "-0", "--1",
    ".5", "5.", ".", "e5", "1e", "1e400", "1e-400", "inf", "-Infinity", "nan", "NaN", "12345678901234567890", "9223372036854775807",
    "18446744073709551616", "-9223372036854775809", "\u0663", "1 2", "0.1", "1e16", "100000000000000000000.0", "\u20071",
    "2K", "2KB", "2Kb", "2kb", "2 MB", "2 mb", "2.5G", "1b", "1B", "1 byte", "1 bytes", "1 bit", "3 kilobyte", "3 KiloByte",
    "3 kilobit", "1Q", "1.5.5M", "0.5K", "1.5", "2.5", "3.5", "10 Yb", "1E", "1 EB", "16E", "M", "-1M", "1M\n", "1 M ", "1MBx",
    "1\u00a0MB",
    "True", "False", "None", "null", "maybe", "truE", "yess", "2",
    "it's", 'say "x"', "both ' and \"", "back\\slash", "tab\there", "nul\x00x", "\x1funit", "\u00fc\u00df", "\u2028", "\U0001f600", "\u200b",
    "s3cret", "s3cret,and more", "topsecret s3cret topsecret", "['a', 'b']", "[1, 2]", "\ufeffx", "\x7f", "\x85x",
]  # fmt: skip
NUMBERS = [
    0, 1, -1, 2, 7, 42, 1024, 2**31, 2**63 - 1, 2**64 - 1, -(2**63), 0.0, 1.0, -0.0, 1.5, 0.1, 1e16, 1e15, 1e-5, 1e22, -2.5, 3.0,
    123456789.123, 9007199254740993.0, 1e-4, 1.7976931348623157e308, 5e-324,
]  # fmt: skip
# What random text of a type is made of.
PIECES = {
    "int": ["0", "1", "7", "00", ".", "e", "E", "+", "-", "_", " ", "\t", "x", "\x1f"],
    "float": ["0", "1", "7", ".", "e", "E", "+", "-", "_", " ", "inf", "nan", "\x1f"],
    "bool": ["y", "es", "n", "o", "true", "T", "F", "alse", "1", "0", " ", "\n", "\x1f"],
    "dict": ["{", "}", "{'a':", "'b'", '"c"', ":", ",", " ", "[", "]", "(", ")", "1", "-2.5", "True", "None", "null", "=", "k=v", "\\",
             "'", '"', "r'", "u'x'", "#", "\n", "0x1", "_", "\u00e9", "{}", "+", "e5", "\\x41", "\\n", "'" * 3],
    "path": ["~", "/", "$", "{", "}", "HOME", "$HOME", "${HOME}", "root", "x", ".", "\u00e9", " "],
    "bytes": ["1", "2.5", ".", "K", "M", "B", "b", "KB", "mb", "byte", "bit", "kilo", " ", "\n", "-"],
}  # fmt: skip
PIECES["bits"] = PIECES["bytes"]
SECRETS = ["s3cret", "topsecret", "s3c", "42", "0.1", "x", "hello", "yes"]


class Maker:
    """Makes cases out of one random stream."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def case(self, table: dict[str, Any] | None = None) -> dict[str, Any]:
        """A case for a generated spec, or for a module's own, as its `--argspec` prints it."""
        case: dict[str, Any] = dict(table) if table else self.spec()
        options = case["argument_spec"]
        case["params"] = self.params(options)
        # Left to chance, a condition would hardly ever hold.
        for name, value, _, _ in case.get("required_if", []):
            if name in options and self.chance(0.5):
                case["params"][name] = value
        return case

    def spec(self) -> dict[str, Any]:
        options = self.options(depth=0)
        return {"argument_spec": options, **self.relations(options)}

    def options(self, depth: int) -> dict[str, Any]:
        count = (
            self.random.choice([0, 1, 1, 2, 2, 3, 4, 6]) if depth == 0 else self.random.choice([1, 1, 2, 3])
        )
        names = self.random.sample(NAMES, count)
        aliases = self.random.sample(ALIASES, len(ALIASES))
        return {name: self.option(depth, aliases) for name in names}

    def option(self, depth: int, aliases: list[str]) -> dict[str, Any]:
        kind = self.random.choice(KINDS)
        option: dict[str, Any] = {"type": kind}
        if kind == "list" and self.chance(0.7):
            option["elements"] = self.random.choice(KINDS)
        inner = option.get("elements", kind)
        if self.chance(0.2):
            option["required"] = True
        elif self.chance(0.35):
            option["default"] = self.default(kind, inner)
        if inner in ("str", "int", "bool", "path") and self.chance(0.3):
            option["choices"] = self.choices(inner)
        while aliases and self.chance(0.2):
            option.setdefault("aliases", []).append(aliases.pop())
        if option.get("aliases") and self.chance(0.3):
            name = self.random.choice(option["aliases"])
            when = {"version": "9.0.0"} if self.chance(0.5) else {"date": "2099-01-01"}
            option["deprecated_aliases"] = [{"name": name, "collection_name": COLLECTION, **when}]
        if self.chance(0.2):
            option["no_log"] = self.chance(0.8)
        if self.chance(0.1):
            when = {"removed_in_version": "9.0.0"} if self.chance(0.5) else {"removed_at_date": "2099-01-01"}
            option.update(when, removed_from_collection=COLLECTION)
        if depth < 3 and inner == "dict" and kind in ("dict", "list") and self.chance(0.7):
            option["options"] = self.options(depth + 1)
            option.update(self.relations(option["options"]))
            if self.chance(0.15):
                option["apply_defaults"] = True
            if depth > 0 or "apply_defaults" in option:
                # Row "shared defaults": ansible-core changes the default itself, and the next element sees that.
                option.pop("default", None)
        return option

    def default(self, kind: str, inner: str) -> Any:
        if self.chance(0.1):
            return self.random.choice(["", 0, 0 if kind == "int" else False])
        if kind == "list":
            return [self.fitting(inner) for _ in range(self.random.randint(0, 2))]
        if kind == "dict":
            return {"name": self.fitting("str")}
        return self.fitting(kind)

    def choices(self, kind: str) -> list[Any]:
        if kind == "int":
            return self.random.sample([0, 1, 2, 7, 42], self.random.randint(1, 3))
        if kind == "bool":
            return [True] if self.chance(0.5) else [True, False]
        return self.random.sample(
            ["a", "hello", "yes", "no", "on", "true", "false", "1", "", "x"], self.random.randint(1, 4)
        )

    def relations(self, options: dict[str, Any]) -> dict[str, Any]:
        names = list(options) + (["absent"] if self.chance(0.05) else [])
        relations: dict[str, Any] = {}
        if len(names) < 2:
            return relations
        for key in ("mutually_exclusive", "required_together", "required_one_of"):
            if self.chance(0.2):
                relations[key] = [self.random.sample(names, 2) for _ in range(self.random.randint(1, 2))]
        if self.chance(0.2):
            rules = []
            for _ in range(self.random.randint(1, 2)):
                name, *others = self.random.sample(names, min(3, len(names)))
                kind = options.get(name, {}).get("type", "str")
                if kind in ("str", "path", "int", "bool"):
                    choices = {"int": [0, 1, 7], "bool": [True, False]}.get(kind, ["a", "hello", "yes", ""])
                    rules.append([name, self.random.choice(choices), others, self.chance(0.5)])
            relations["required_if"] = rules
        if self.chance(0.2):
            name, *others = self.random.sample(names, 2)
            relations["required_by"] = {name: others}
        return relations

    def params(self, options: dict[str, Any], *, depth: int = 0) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for name, option in options.items():
            if self.chance(0.75):
                params[name] = self.value(option, depth)
            for alias in option.get("aliases", []):
                if self.chance(0.3):
                    params[alias] = self.value(option, depth)
        if self.chance(0.06):
            for _ in range(self.random.randint(1, 2)):
                params[self.random.choice(["unknown", "nmae", "peer", "zz", *ALIASES])] = self.anything(0)
        items = list(params.items())
        self.random.shuffle(items)
        return dict(items)

    def value(self, option: dict[str, Any], depth: int) -> Any:
        roll = self.random.random()
        if roll < 0.12:
            return self.anything(0)
        if roll < 0.17:
            return None
        if option.get("no_log") and roll < 0.6:
            return self.random.choice(SECRETS)
        if "choices" in option and roll < 0.7:
            choice = self.random.choice(option["choices"])
            return [choice] if option["type"] == "list" else choice
        if "options" in option and roll < 0.9:
            if option["type"] == "list":
                return [
                    self.params(option["options"], depth=depth + 1) for _ in range(self.random.randint(0, 2))
                ]
            return self.params(option["options"], depth=depth + 1)
        if option["type"] == "list":
            if self.chance(0.2):
                return self.random.choice(STRINGS)
            inner = option.get("elements", "raw")
            return [
                self.fitting(inner) if self.chance(0.9) else self.anything(0)
                for _ in range(self.random.randint(0, 3))
            ]
        return self.fitting(option["type"])

    def fitting(self, kind: str) -> Any:
        """A value that fits the type, or is the kind of text that might."""
        number = self.random.choice(NUMBERS)
        if kind in PIECES and self.chance(0.3):
            text = "".join(self.random.choices(PIECES[kind], k=self.random.randint(1, 9)))
            return "{" + text + "}" if kind == "dict" and self.chance(0.5) else text
        match kind:
            case "int" | "float":
                return self.random.choice(
                    [number, str(self.random.randint(-50, 50)), self.random.choice(STRINGS[60:105]), 7]
                )
            case "bool":
                return self.random.choice([*BOOL_WORDS, True, False, 0, 1, 1.0])
            case "dict":
                return self.random.choice([{"name": "a"}, {}, {"name": 1, "x": [None, True]}, *STRINGS[5:50]])
            case "list":
                return self.random.choice([[], ["a", 1, None], [True, 1.5], *STRINGS[:8]])
            case "json":
                return self.random.choice(
                    [{"a": [1, "\u00e9\U0001f600", None, 1e16]}, [], ["x\n\x7f"], " [1] ", '{"a": 1}']
                )
            case "bytes" | "bits":
                return self.random.choice([*STRINGS[105:135], 1, 1024, 1.5, 2.5])
            case "path":
                return self.random.choice(STRINGS[50:72])
            case _:
                return self.random.choice([*STRINGS, *SECRETS, number])

    def anything(self, depth: int) -> Any:
        roll = self.random.random()
        if depth < 3 and roll < 0.15:
            return [self.anything(depth + 1) for _ in range(self.random.randint(0, 3))]
        if depth < 3 and roll < 0.3:
            keys = [*NAMES[:4], "it's", "\u00e9", ""]
            return {
                self.random.choice(keys): self.anything(depth + 1) for _ in range(self.random.randint(0, 3))
            }
        return self.random.choice([None, True, False, *NUMBERS, *STRINGS, *BOOL_WORDS, *SECRETS])
