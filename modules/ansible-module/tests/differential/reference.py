"""What ansible-core's own validator says about a case."""

from __future__ import annotations

import copy
from typing import Any

from ansible.module_utils.common import parameters
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values

RELATIONS = ("mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by")

_warnings: list[str] = []
parameters.warn = _warnings.append  # The warnings of suboptions go to a global otherwise.


def secrets_in(spec: dict[str, Any], params: dict[str, Any]) -> set[str]:
    """The secrets as ansible-core finds them in these arguments; none where it gives up."""
    try:
        return {str(secret) for secret in parameters._list_no_log_values(spec, params)}
    except Exception:  # noqa: BLE001
        return set()


def validate(case: dict[str, Any]) -> dict[str, Any]:
    """The same fields as the filter under test gives. A crash is a refusal with the class `Crash`."""
    _warnings.clear()
    spec = copy.deepcopy(case["argument_spec"])
    relations = {key: copy.deepcopy(case.get(key)) for key in RELATIONS}
    try:
        result = ArgumentSpecValidator(spec, **relations).validate(copy.deepcopy(case["params"]))
    except Exception as error:  # noqa: BLE001
        text = f"{type(error).__name__}: {error}"
        return {
            "ok": False,
            "params": {},
            "errors": [["Crash", text]],
            "warnings": [],
            "deprecations": [],
            "secrets": [],
        }
    params = result.validated_parameters
    doubles = [f"Both option {w['option']} and its alias {w['alias']} are set." for w in result._warnings]
    return {
        "ok": not result.error_messages,
        "params": params,
        "errors": [[type(error).__name__.removesuffix("Error"), error.msg] for error in result.errors.errors],
        "warnings": [*_warnings, *doubles],
        "deprecations": [
            [d["msg"], d.get("version"), d.get("date"), d.get("collection_name")]
            for d in result._deprecations
        ],
        "secrets": {str(secret) for secret in result._no_log_values},
    }


def masked(params: dict[str, Any], secrets: set[str]) -> Any:
    """The arguments as a result would show them."""
    return remove_values(copy.deepcopy(params), secrets)
