# Copyright: the sddc.pve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the collection's one binary on a host: from a copy kept there, with the arguments on standard input.

Ansible uploads a binary module anew for every task: seven ssh invocations. Here a task is one: the host keeps
the binary below its remote_tmp, in a directory named after the content, and is only sent it when it lacks it.
Knows nothing of what a module does.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

try:
    from ansible.vars.clean import remove_internal_keys
except ImportError:  # since ansible-core 2.21 the parsed result does it itself
    remove_internal_keys = None

display = Display()

# What the scripts below end with; a module itself ends with 0 or 1.
MISSING, REFUSED = 86, 87
# The shell could not start the kept copy: damaged, or removed by another controller's pruning just now.
NOT_STARTED = (126, 127)
# Core's name for plain JSON, in which a binary module is spoken to.
PROFILE = "legacy"
# A remote_tmp without variables or globs; group 1 is a leading ~ or ~user, which the shell must see unquoted.
PLAIN_PATH = re.compile(r"(~[\w.-]*)?((?:/[\w.@%+=:,-]+)*)/?")

# $d is the cache: another one where the first is somebody else's, such as root's in the home of a user (sudo
# without -H) or a shared remote_tmp.
LOCATE = 'd={base}/sddc.pve-{digest}; if [ -e "$d" ] && [ ! -O "$d" ]; then d="$d-$(id -u)"; fi'
# Size, time and mode of a copy. The time is set to one that follows from the content, so a copy that was cut
# short or written over is known by a look; a checksum would cost a tenth of a task, every time.
LOOK = '$(stat -c %s.%Y.%a "$d/pve" 2>/dev/null)'
# Standard input is drained, or ssh would complain about a broken pipe.
RUN = (
    LOCATE + '; if [ -O "$d" ] && [ ! -L "$d" ] && [ -O "$d/pve" ] && [ -x "$d/pve" ]; '
    'then case "' + LOOK + '" in {whole}) {environment} "$d/pve" -; exit;; esac; fi; '
    'cat >/dev/null; echo "MISSING $(uname -s) $(uname -m)"; exit {missing}'
)
# Standard input is the binary and then the arguments. What was copied is checked, made durable, then renamed:
# whoever looks sees a whole binary or none. The newest caches are kept, other controllers' among them.
UPLOAD = (
    LOCATE + '; refuse() {{ cat >/dev/null; echo "$1" >&2; exit {refused}; }}; '
    '(umask 077; mkdir -p {base}) || refuse "cannot create "{base}; '
    'mkdir -p -m 700 "$d" || refuse "cannot create $d"; '
    '[ -O "$d" ] && [ ! -L "$d" ] && [ -d "$d" ] '
    '|| refuse "$d is not a directory of the user $(id -un): remove it, or set ansible_remote_tmp"; '
    't=$(mktemp "$d/pve.XXXXXX") || refuse "cannot write below $d"; '
    'if head -c {size} >"$t" && [ "$(sha256sum <"$t")" = "{checksum}  -" ] && chmod 700 "$t" '
    '&& touch -d @{time} "$t" && sync "$t" && mv -f "$t" "$d/pve"; then :; '
    'else rm -f "$t"; refuse "the binary did not arrive whole in $d"; fi; '
    "ls -dt {base}/sddc.pve-* 2>/dev/null | tail -n +{keep} | while read -r old; do "
    'if [ "$old" != "$d" ] && [ -O "$old" ] && [ ! -L "$old" ]; then rm -rf "$old"; fi; done; '
    'find "$d" -name "pve.*" -cmin +60 -delete; '
    '{environment} "$d/pve" -'
)
KEPT_CACHES = 4


@functools.cache
def shipped_binaries() -> dict[str, Path]:
    """Return the binary for each machine type, as uname -m names it."""
    folder = Path(__file__).parent / "_bin"
    return {path.parent.name: path for path in sorted(folder.glob("*/pve"))}


@functools.cache
def checksums() -> dict[str, str]:
    """Return the SHA-256 of the binary for each machine type."""
    return {
        machine: hashlib.sha256(path.read_bytes()).hexdigest() for machine, path in shipped_binaries().items()
    }


@functools.cache
def digest() -> str:
    """Return the name that all shipped binaries together have on a host."""
    sums = [f"{machine} {checksum}" for machine, checksum in checksums().items()]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()[:16]


def time_of(checksum: str) -> int:
    """Return the modification time that a copy with this content is given, some day before 1979."""
    return int(checksum[:7], 16)


@functools.cache
def whole() -> str:
    """Return what a look at a whole copy shows, as a pattern of the shell."""
    looks = [
        f"{shipped_binaries()[machine].stat().st_size}.{time_of(checksum)}.700"
        for machine, checksum in checksums().items()
    ]
    return "|".join(looks)


def shell_path(remote_tmp: str) -> str | None:
    """Return remote_tmp as a word of a shell script, or None where only core can tell what it means."""
    match = PLAIN_PATH.fullmatch(remote_tmp)
    if not match or not (match[1] or match[2]):
        return None
    home = '"${HOME:?}"' if match[1] == "~" else match[1] or ""
    return home + match[2]


class BinaryAction(ActionBase):  # type: ignore[misc]
    """The action of every module of this collection."""

    _supports_async = True

    def __init_subclass__(cls) -> None:
        """Compute the digest once: core loads the plugin before it forks a worker for each host."""
        super().__init_subclass__()
        digest()
        whole()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module named like the task's action."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        base = self._cache_base()
        data = None if base is None else self._run_kept_copy(base, task_vars)
        if data is None:
            wrap_async = self._task.async_val and not self._connection.has_native_async
            data = self._execute_module(task_vars=task_vars, wrap_async=wrap_async)
        result.update(data)
        return result

    def _cache_base(self) -> str | None:
        """Return where the cache lives, or None where core must run the module its own way."""
        connection = self._connection
        is_plain = (
            not self._task.async_val
            and not constants.DEFAULT_KEEP_REMOTE_FILES
            and connection.has_pipelining
            and (not connection.become or connection.become.pipelining)
            and getattr(connection._shell, "SHELL_FAMILY", None) == "sh"  # noqa: SLF001
        )
        return shell_path(self.get_shell_option("remote_tmp", default="~/.ansible/tmp")) if is_plain else None

    def _run_kept_copy(self, base: str, task_vars: dict[str, Any]) -> dict[str, Any] | None:
        """Run the host's copy, sending it first where it is missing; None where sudo wants a terminal."""
        if not shipped_binaries():
            raise AnsibleActionFail(
                "this copy of the collection holds no binary: install a built one, or run `cargo xtask stage`"
            )
        arguments = dict(self._task.args)
        self._update_module_args(self._task.action, arguments, task_vars)
        encoder = get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
        payload = json.dumps(arguments, cls=encoder).encode()
        words = {"base": base, "digest": digest(), "environment": self._compute_environment_string()}

        run = RUN.format(missing=MISSING, whole=whole(), **words)
        answer = self._low_level_execute_command(run, in_data=payload)
        if "you must have a tty" in answer["stderr"]:
            return None
        if answer["rc"] == MISSING or answer["rc"] in NOT_STARTED:
            binary = self._binary_for(answer)
            checksum = hashlib.sha256(binary).hexdigest()
            upload = UPLOAD.format(
                refused=REFUSED,
                size=len(binary),
                checksum=checksum,
                time=time_of(checksum),
                keep=KEPT_CACHES + 1,
                **words,
            )
            display.vv(f"sending the binary ({len(binary)} bytes)", host=task_vars.get("inventory_hostname"))
            answer = self._low_level_execute_command(upload, in_data=binary + payload)
            self._check_started(answer)
        return self._module_result(answer)

    def _binary_for(self, answer: dict[str, Any]) -> bytes:
        """Return the binary for the host that answered."""
        found = re.search(r"^MISSING (\S+) (\S+)\s*$", answer["stdout"], re.MULTILINE)
        if found is None:
            # The copy could not be started, so its host once took it: it says no machine type.
            probe = self._low_level_execute_command('echo "MISSING $(uname -s) $(uname -m)"', sudoable=False)
            found = re.search(r"^MISSING (\S+) (\S+)\s*$", probe["stdout"], re.MULTILINE)
        if found is None:
            raise AnsibleActionFail(
                f"the host does not say what machine it is: {answer['stdout']}{answer['stderr']}"
            )
        system, machine = found.groups()
        path = shipped_binaries().get(machine)
        if path is None or system != "Linux":
            supported = ", ".join(f"Linux {name}" for name in shipped_binaries())
            raise AnsibleActionFail(
                f"{system} {machine} is not supported: this copy of the collection is built for {supported}"
            )
        return path.read_bytes()

    @staticmethod
    def _check_started(answer: dict[str, Any]) -> None:
        """Fail where the binary was not taken or does not start."""
        if answer["rc"] == REFUSED:
            raise AnsibleActionFail(f"cannot keep the binary on the host: {answer['stderr'].strip()}")
        if answer["rc"] in NOT_STARTED:
            raise AnsibleActionFail(
                "the host does not start the binary: is the file system of ansible_remote_tmp noexec? "
                f"{answer['stderr'].strip()}"
            )

    def _module_result(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return what the module printed as core would."""
        parsed = self._parse_returned_data(answer, PROFILE)
        if remove_internal_keys is None:
            parsed.remove_internal_keys()
            return dict(parsed.as_result_dict(for_round_trip=True))
        data: dict[str, Any] = parsed
        remove_internal_keys(data)
        for stream in ("stdout", "stderr"):
            if stream in data and f"{stream}_lines" not in data:
                data[f"{stream}_lines"] = (data[stream] or "").splitlines()
        return data
