# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin against a real shell: only the connection is replaced, by a host that is a directory."""

import json
import os
import subprocess
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.sddc.pve.plugins.plugin_utils import _binary

MODULE = b"""#!/bin/sh
printf '{"changed": false, "by": "%s", "word": "%s", "arguments": ' "$0" "$WORD"; cat; echo '}'
"""


class Host:
    """A user's account on a machine: runs what it is given, with a home of its own."""

    def __init__(self, home):
        self.home = home
        self.commands = []
        self.machine = None

    def execute(self, cmd, in_data=None, **_options):
        self.commands.append(cmd)
        if self.machine:
            cmd = f'uname() {{ [ "$1" = -m ] && echo {self.machine} || echo Linux; }}; {cmd}'
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        done = subprocess.run(
            ["/bin/sh", "-c", cmd], input=in_data, capture_output=True, env=environment, check=False
        )
        return {"rc": done.returncode, "stdout": done.stdout.decode(), "stderr": done.stderr.decode()}

    def caches(self):
        return sorted(self.home.glob(".ansible/tmp/sddc.pve-*"))


@pytest.fixture(autouse=True)
def shipped(tmp_path, monkeypatch):
    """Ship a module for this machine instead of the collection's binary."""
    binary = tmp_path / "shipped"
    binary.write_bytes(MODULE)
    monkeypatch.setattr(_binary, "shipped_binaries", lambda: {os.uname().machine: binary})
    monkeypatch.setattr(_binary, "digest", lambda: "0123456789abcdef")
    for cached in (_binary.checksums, _binary.whole):
        cached.cache_clear()
    yield binary
    for cached in (_binary.checksums, _binary.whole):
        cached.cache_clear()


@pytest.fixture
def host(tmp_path):
    home = tmp_path / "home with a blank"
    home.mkdir()
    return Host(home)


@pytest.fixture
def action(host):
    return make_action(host)


def make_action(host, remote_tmp="~/.ansible/tmp", environment="", arguments=None):
    class Action(_binary.BinaryAction):
        def __init__(self):
            self._task = SimpleNamespace(
                args=arguments or {}, action="sddc.pve.pve_x", async_val=0, check_mode=False, diff=False
            )
            self._connection = SimpleNamespace(
                has_pipelining=True,
                has_native_async=False,
                become=None,
                _shell=SimpleNamespace(SHELL_FAMILY="sh", tmpdir=None),
            )
            self._used_interpreter = None

        def get_shell_option(self, option, default=None):
            return remote_tmp

        def _update_module_args(self, name, arguments, task_vars):
            arguments["_ansible_module_name"] = name

        def _compute_environment_string(self, raw_environment_out=None):
            return environment

        def _low_level_execute_command(self, cmd, in_data=None, **_options):
            return host.execute(cmd, in_data=in_data)

        def _execute_module(self, **options):
            return {"fallback": options}

    return Action()


def test_first_task_sends_the_binary_and_the_second_does_not(host, action):
    first = action.run(task_vars={})
    assert first["arguments"] == {"_ansible_module_name": "sddc.pve.pve_x"}
    assert len(host.commands) == 2
    second = action.run(task_vars={})
    assert len(host.commands) == 3
    assert first == second
    [cache] = host.caches()
    assert cache.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in cache.iterdir()] == ["pve"]


def test_arguments_and_environment_arrive_unchanged(host):
    secret = 'it\'s "quoted" $HOME `x` \u00e9\n'
    action = make_action(host, environment="WORD='a b'", arguments={"password": secret})
    result = action.run(task_vars={})
    assert result["arguments"]["password"] == secret
    assert result["word"] == "a b"
    assert not any("quoted" in command for command in host.commands)


def test_large_arguments_do_not_break_the_pipe_of_a_host_without_the_binary(host):
    result = make_action(host, arguments={"text": "x" * 1_000_000}).run(task_vars={})
    assert len(result["arguments"]["text"]) == 1_000_000


@pytest.mark.skipif(os.getuid() != 0, reason="only root can plant another user's directory")
def test_a_planted_cache_of_another_user_is_never_run(host, action):
    planted = host.home / ".ansible/tmp/sddc.pve-0123456789abcdef"
    planted.mkdir(parents=True)
    (planted / "pve").write_text("#!/bin/sh\necho '{\"planted\": true}'\n")
    (planted / "pve").chmod(0o755)
    os.chown(planted, 12345, 12345)
    result = action.run(task_vars={})
    assert "planted" not in result
    assert result["by"] == f"{planted}-{os.getuid()}/pve"


def test_a_planted_link_is_refused(host, action):
    (host.home / ".ansible/tmp").mkdir(parents=True)
    (host.home / "target").mkdir()
    (host.home / ".ansible/tmp/sddc.pve-0123456789abcdef").symlink_to(host.home / "target")
    with pytest.raises(AnsibleActionFail, match=r"is not a directory of the user .* remove it"):
        action.run(task_vars={})
    assert not list((host.home / "target").iterdir())


def test_a_binary_that_arrives_short_is_not_kept(host, action, monkeypatch):
    whole = action._binary_for
    monkeypatch.setattr(action, "_binary_for", lambda answer: whole(answer)[:-1] + b"\0")
    real = host.execute

    def tampering(cmd, in_data=None, **options):
        return real(cmd, in_data=in_data.replace(b"\0", b"\1"), **options)

    monkeypatch.setattr(host, "execute", tampering)
    with pytest.raises(AnsibleActionFail, match="did not arrive whole"):
        action.run(task_vars={})
    [cache] = host.caches()
    assert not list(cache.iterdir())


def cut_short(copy):
    os.truncate(copy, 40)


def written_over(copy):
    copy.write_bytes(b"#!/bin/sh\necho '{\"tampered\": true}'".ljust(len(MODULE), b"\n"))


def one_byte_changed(copy):
    content = bytearray(copy.read_bytes())
    content[-2] ^= 1
    copy.write_bytes(content)


def no_program(copy):
    copy.write_bytes(b"\x7fELF and nothing more")


def for_others_to_write(copy):
    copy.chmod(0o777)


@pytest.mark.parametrize("harm", [cut_short, written_over, one_byte_changed, no_program, for_others_to_write])
def test_a_copy_that_is_not_as_it_was_sent_is_sent_anew_and_not_run(host, action, harm):
    action.run(task_vars={})
    [cache] = host.caches()
    harm(cache / "pve")
    result = action.run(task_vars={})
    assert result["arguments"]
    assert "tampered" not in result
    assert len(host.commands) == 4
    assert (cache / "pve").read_bytes() == MODULE
    action.run(task_vars={})
    assert len(host.commands) == 5


def test_only_the_newest_caches_stay(host, action):
    for age in range(8):
        old = host.home / f".ansible/tmp/sddc.pve-{age:016}"
        old.mkdir(parents=True)
        os.utime(old, (1_000_000 - age, 1_000_000 - age))
    action.run(task_vars={})
    names = [path.name.removeprefix("sddc.pve-") for path in host.caches()]
    assert names == ["0000000000000000", "0000000000000001", "0000000000000002", "0123456789abcdef"]


def test_an_unsupported_machine_is_told_what_is_supported(host, action):
    host.machine = "riscv64"
    with pytest.raises(
        AnsibleActionFail, match=f"Linux riscv64 is not supported.*Linux {os.uname().machine}"
    ):
        action.run(task_vars={})


def test_a_collection_without_binaries_says_how_to_get_one(action, monkeypatch):
    monkeypatch.setattr(_binary, "shipped_binaries", dict)
    with pytest.raises(AnsibleActionFail, match="cargo xtask stage"):
        action.run(task_vars={})


def test_a_lost_connection_stays_a_connection_failure(host, action, monkeypatch):
    def lost(*_arguments, **_options):
        raise AnsibleConnectionFailure("Data could not be sent to remote host")

    monkeypatch.setattr(host, "execute", lost)
    with pytest.raises(AnsibleConnectionFailure):
        action.run(task_vars={})


def test_output_that_is_no_json_is_a_failure(shipped, action):
    shipped.write_text("#!/bin/sh\necho oops; exit 1\n")
    result = action.run(task_vars={})
    assert result["failed"]
    assert result["module_stdout"] == "oops\n"


def unusual_async(action):
    action._task.async_val = 60


def unusual_connection(action):
    action._connection.has_pipelining = False


def unusual_become(action):
    action._connection.become = SimpleNamespace(pipelining=False)


def unusual_shell(action):
    action._connection._shell.SHELL_FAMILY = "powershell"


@pytest.mark.parametrize("unusual", [unusual_async, unusual_connection, unusual_become, unusual_shell])
def test_what_the_fast_way_cannot_do_goes_core_s_way(host, action, unusual):
    unusual(action)
    assert "fallback" in action.run(task_vars={})
    assert not host.commands


def test_sudo_that_wants_a_terminal_goes_core_s_way(host, action, monkeypatch):
    refusal = {"rc": 1, "stdout": "", "stderr": "sudo: sorry, you must have a tty to run sudo"}
    monkeypatch.setattr(host, "execute", lambda *_arguments, **_options: refusal)
    assert "fallback" in action.run(task_vars={})


@pytest.mark.parametrize(
    ("remote_tmp", "word"),
    [
        ("~/.ansible/tmp", '"${HOME:?}"/.ansible/tmp'),
        ("~/.ansible/tmp/", '"${HOME:?}"/.ansible/tmp'),
        ("/var/tmp/ansible-1", "/var/tmp/ansible-1"),
        ("~alice/tmp", "~alice/tmp"),
        ("$TMPDIR/x", None),
        ("/tmp/a b", None),
        ("/tmp/$(reboot)", None),
        ("relative/path", None),
        ("", None),
        ("/", None),
    ],
)
def test_remote_tmp_as_a_word_of_the_shell(remote_tmp, word):
    assert _binary.shell_path(remote_tmp) == word


def test_a_shared_remote_tmp_serves_each_user_from_a_cache_of_their_own(host, tmp_path):
    shared = tmp_path / "shared"
    result = make_action(host, remote_tmp=str(shared)).run(task_vars={})
    assert json.dumps(result["by"]) == json.dumps(f"{shared}/sddc.pve-0123456789abcdef/pve")
