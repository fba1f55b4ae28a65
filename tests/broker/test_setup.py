"""What `mosquitto/setup` makes, keeps and refuses: on the files alone, without a broker."""

import base64
import getpass
import grp
import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from tests.broker.client import SUCCESS, by_password
from tests.stage.broker import CONFIGURATION, Account, Broker
from tocsin_consumer.settings import ConsumerSettings
from tocsin_producer.settings import ProducerSettings
from tocsin_schemas.topics import CLUSTER_PATTERN

SCRIPT = CONFIGURATION / "setup"
_MISUSED = 2

pytestmark = pytest.mark.broker

#: Path, mode, owner, time of the last change and content of every file.
Snapshot = dict[Path, tuple[int, int, int, bytes]]


class Machine:
    """A folder for a broker, and the command."""

    def __init__(self, folder: Path, shell: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.path = os.environ["PATH"]
        self._shell = shell

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [*self._shell, str(SCRIPT), "--dir", str(self.folder), *arguments]
        environment = {**os.environ, "PATH": self.path}
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)

    def __call__(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def init(self, *options: str, names: tuple[str, ...] = ("localhost",)) -> str:
        owner = ("--owner", getpass.getuser())
        return self("init", "--data", str(self.folder / "data"), *owner, *options, *names)

    def account(self, name: str) -> Account:
        return Account(name, self.folder / "private/clients" / name)

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / name).read_bytes())

    def revocations(self) -> Iterator[x509.RevokedCertificate]:
        return iter(x509.load_pem_x509_crl((self.folder / "certs/crl.pem").read_bytes()))

    def files(self) -> Iterator[Path]:
        return (path for path in self.folder.rglob("*") if path.is_file())

    def snapshot(self) -> Snapshot:
        return {path: (*_facts(path), path.read_bytes()) for path in self.files()}


def _facts(path: Path) -> tuple[int, int, int]:
    facts = path.stat()
    return facts.st_mode, facts.st_uid, facts.st_mtime_ns


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "broker")


def shells() -> list[tuple[str, ...]]:
    """Return the shells there are here that a broker's machine may have as its sh."""
    known = [("bash", "--posix"), ("busybox", "sh")]
    return [(), *(shell for shell in known if shutil.which(shell[0]))]


@pytest.mark.parametrize("shell", shells(), ids=lambda shell: shell[0] if shell else "sh")
def test_every_command_can_be_repeated_and_then_changes_nothing(tmp_path: Path, shell: tuple[str, ...]) -> None:
    machine = Machine(tmp_path / "broker", shell)
    commands = [
        ("init", "--data", str(tmp_path / "data"), "--client-certificates", "--websockets", "localhost", "::1"),
        ("add-site", "--certificate", "edge-1"),
        ("add-consumer", "ops", "--certificate"),
        ("rotate", "edge-1"),
        ("rotate", "edge-1", "--finish"),
        ("rotate", "ops"),
        ("add-site", "edge-2"),
        ("revoke", "edge-2"),
        ("renew",),
        ("list",),
    ]
    for command in commands:
        machine(*command)
        before = machine.snapshot()
        machine(*command)
        assert machine.snapshot() == before
    machine("init")
    assert machine.snapshot() == before


def test_secrets_are_readable_by_their_owner_alone(machine: Machine) -> None:
    machine.init("--client-certificates")
    for command in (("add-site", "edge-1", "--certificate"), ("add-consumer", "ops"), ("rotate", "edge-1")):
        machine(*command)
    open_to_others = [path for path in machine.files() if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []
    assert stat.S_IMODE((machine.folder / "private").stat().st_mode) == 0o700


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder / "broker"


def test_a_broker_that_gives_up_root_reads_its_files_and_writes_its_state_and_nothing_else(
    public_folder: Path,
) -> None:
    if os.geteuid() != 0 or "mosquitto" not in {user.pw_name for user in pwd.getpwall()}:
        pytest.skip("needs root, and the user mosquitto")
    with Broker(public_folder, "--client-certificates", user="mosquitto") as broker:
        site = broker.add_site("edge-1")
        with by_password(broker, site) as client:
            assert client.answer == SUCCESS
        broker.stop()
    assert [path.name for path in (public_folder / "data").iterdir()] == ["mosquitto.db"]
    owners = {path: pwd.getpwuid(path.stat().st_uid).pw_name for path in public_folder.rglob("*")}
    readable = {*(public_folder / "config").rglob("*"), *(public_folder / "certs").rglob("*")}
    assert {owners[path] for path in readable if path.is_file()} == {"mosquitto"}
    assert {owners[path] for path in readable if path.is_dir()} == {"root"}
    assert {grp.getgrgid(path.stat().st_gid).gr_name for path in readable if path.is_dir()} == {"mosquitto"}
    assert {owner for path, owner in owners.items() if "private" in path.parts} == {"root"}
    assert "Warning" not in broker.log().replace("Warning: Mosquitto should not be run as root", "")


@pytest.mark.parametrize(
    "name",
    [
        *("edge-042", "0-", "a" * 63),
        *("", "-a", "A", "a" * 64, "a b", "a\nb", "a:b", "a/b", "../x", ".", "+", "#", "%u", "é", "a_b", "a.b"),
        *("$(touch gone)", "`id`", "a;b", "a|b", "'", '"', "\\", "a\x7f", "--"),
    ],
)
def test_a_name_is_one_that_a_cluster_may_have(machine: Machine, name: str) -> None:
    machine.init()
    before = machine.snapshot()
    for command in ("add-site", "rotate", "revoke", "add-consumer"):
        done = machine.run(command, name)
        assert done.returncode == (0 if CLUSTER_PATTERN.fullmatch(name) else _MISUSED), done.stderr
    assert (machine.snapshot() != before) == bool(CLUSTER_PATTERN.fullmatch(name))


@pytest.mark.parametrize(
    "name", ["", "a b", "a,DNS:evil", "$(id)", "a/b", "*.example.com", "a\nb", "-a", "1.2.3", "::g", "a_b"]
)
def test_a_certificate_is_for_names_and_addresses_alone(machine: Machine, name: str) -> None:
    done = machine.run("init", "--data", str(machine.folder / "data"), "--owner", getpass.getuser(), name)
    assert done.returncode != 0
    assert not (machine.folder / "certs/tls.crt").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        *((), ("nonsense",), ("--nonsense", "list"), ("list", "too-much"), ("add-site",), ("add-site", "a", "b")),
        *(("--days",), ("--days", "0", "list"), ("--days", "x", "list"), ("--days", "-1", "list")),
        *(("--owner", "a b", "list"), ("--data", "a b", "list"), ("--dir", "/a$b", "list"), ("init",)),
    ],
)
def test_what_cannot_be_understood_is_refused_with_a_hint(machine: Machine, arguments: tuple[str, ...]) -> None:
    done = machine.run(*arguments)
    assert (done.returncode, done.stdout) == (_MISUSED, "")
    assert "setup --help shows how it is used" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("list",), "holds no broker yet; run: setup --dir"),
        (("rotate", "edge-9"), "there is no account edge-9"),
        (("revoke", "edge-9"), "there is no account edge-9"),
        (("add-site", "ops"), "ops is a consumer"),
        (("add-consumer", "edge-1"), "edge-1 is a site"),
        (("add-site", "edge-1", "--certificate"), "init --client-certificates"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_reason(
    machine: Machine, arguments: tuple[str, ...], hint: str
) -> None:
    if arguments != ("list",):
        machine.init()
        machine("add-site", "edge-1")
        machine("add-consumer", "ops")
    before = machine.snapshot()
    done = machine.run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert hint in done.stderr
    assert machine.snapshot() == before


def test_certificates_are_small_name_their_owner_and_do_not_trust_the_clock(machine: Machine) -> None:
    machine.init("--client-certificates", names=("broker.example.com", "10.0.0.1", "::1"))
    machine("add-site", "edge-1", "--certificate")
    authority, broker = machine.certificate("certs/ca.crt"), machine.certificate("certs/tls.crt")
    client = machine.certificate("private/clients/edge-1/client.crt")
    names = broker.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["broker.example.com", "10.0.0.1", "::1"]
    assert client.subject.rfc4514_string() == "CN=edge-1"
    for certificate in (authority, broker, client):
        certificate.verify_directly_issued_by(authority)
        key = certificate.public_key()
        assert isinstance(key, EllipticCurvePublicKey)
        assert isinstance(key.curve, SECP256R1)
        # A Raspberry Pi may wake up in the past.
        assert (certificate.not_valid_before_utc.month, certificate.not_valid_before_utc.day) == (1, 1)
    assert (client.not_valid_after_utc - client.not_valid_before_utc).days > 825 + 364


def test_a_certificate_with_time_left_is_kept_and_one_without_is_renewed_under_the_same_ca(
    machine: Machine,
) -> None:
    machine.init("--days", "10")
    authority, short = machine.certificate("certs/ca.crt"), machine.certificate("certs/tls.crt")
    assert "made a certificate for DNS:localhost" in machine("renew")
    long = machine.certificate("certs/tls.crt")
    assert long.not_valid_after_utc > short.not_valid_after_utc
    long.verify_directly_issued_by(authority)
    assert "is valid until" in machine("renew")
    assert machine.certificate("certs/tls.crt") == long


def test_clients_whose_certificates_expire_soon_are_named_at_each_renewal(machine: Machine) -> None:
    machine.init("--client-certificates")
    machine("add-site", "edge-1", "--certificate", "--days", "10")
    machine("add-site", "edge-2", "--certificate")
    said = machine("renew")
    assert "clients/edge-1/client.crt expires on" in said
    assert "edge-2" not in said


def test_another_name_makes_another_certificate_and_leaves_the_ca_and_the_accounts(machine: Machine) -> None:
    machine.init()
    machine("add-site", "edge-1")
    kept = ("certs/ca.crt", "private/ca.key", "config/accounts", "config/acl", "private/clients/edge-1/password")
    before = [(machine.folder / name).read_bytes() for name in kept]
    machine.init(names=("broker.example.com",))
    assert "DNS:broker.example.com" in machine("list")
    assert [(machine.folder / name).read_bytes() for name in kept] == before


def test_no_secret_is_an_argument_of_a_process(machine: Machine, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    wrapped = ("openssl", "sed", "grep", "awk", "cat", "mv", "cp", "tr", "cmp", "chown", "chmod", "mktemp", "ls")
    for tool in wrapped:
        script = f'#!/bin/sh\nprintf "%s\\n" "$0" "$@" >>{tmp_path}/arguments\nexec {shutil.which(tool)} "$@"\n'
        (tools / tool).write_text(script, encoding="utf-8")
        (tools / tool).chmod(0o755)
    machine.path = f"{tools}:{machine.path}"
    machine.init("--client-certificates")
    machine("add-site", "edge-1", "--certificate")
    first = machine.account("edge-1").password
    machine("rotate", "edge-1")
    machine("rotate", "edge-1", "--finish")
    shown = (tmp_path / "arguments").read_text(encoding="utf-8")
    assert "mktemp" in shown
    for secret in (first, machine.account("edge-1").password):
        assert secret not in shown
    assert "PRIVATE KEY" not in shown


def test_no_secret_is_printed(machine: Machine) -> None:
    machine.init("--client-certificates")
    said = machine("add-site", "edge-1", "--certificate") + machine("rotate", "edge-1") + machine("list")
    folder = machine.account("edge-1").folder
    for path in (folder / "password", folder / "next/password"):
        assert path.read_text(encoding="ascii").strip() not in said
    assert "PRIVATE KEY" not in said


@pytest.mark.parametrize("call", range(1, 32, 2))
def test_what_a_run_that_was_killed_has_left_undone_the_next_one_completes(
    machine: Machine, tmp_path: Path, call: int
) -> None:
    """Killed at its nth call of openssl, wherever that is."""
    tools = tmp_path / "tools"
    tools.mkdir()
    real = shutil.which("openssl")
    (tools / "openssl").write_text(
        f'#!/bin/sh\necho >>{tmp_path}/calls\n[ "$(wc -l <{tmp_path}/calls)" -lt {call} ] || kill -9 "$PPID"\n'
        f'exec {real} "$@"\n',
        encoding="utf-8",
    )
    (tools / "openssl").chmod(0o755)
    path, machine.path = machine.path, f"{tools}:{machine.path}"
    commands: list[tuple[str, ...]] = [
        ("init", "--data", str(machine.folder / "data"), "--client-certificates", "localhost")
    ]
    commands += [("add-site", "edge-1", "--certificate"), ("rotate", "edge-1"), ("rotate", "edge-1", "--finish")]
    outcomes = [machine.run(*command).returncode for command in (*commands, ("revoke", "edge-1"))]
    assert any(outcomes), "nobody was killed"
    machine.path = path
    for command in commands:
        machine(*command)
    assert not [path for path in machine.folder.rglob("*") if path.name == "lock" or "scratch" in path.name]
    client = machine.certificate("private/clients/edge-1/client.crt")
    for certificate in (client, machine.certificate("certs/tls.crt")):
        certificate.verify_directly_issued_by(machine.certificate("certs/ca.crt"))
    assert fits_account(machine, "edge-1")
    machine("revoke", "edge-1")
    listed = {revoked.serial_number for revoked in machine.revocations()}
    issued = [
        machine.certificate(f"private/issued/{path.name}")
        for path in (machine.folder / "private/issued").iterdir()
    ]
    assert listed == {certificate.serial_number for certificate in issued if certificate.subject == client.subject}


def fits_account(machine: Machine, name: str) -> bool:
    """Whether Mosquitto's hash of an account is of the password that is kept for it."""
    (line,) = [
        line
        for line in (machine.folder / "config/accounts").read_text(encoding="ascii").splitlines()
        if line.startswith(f"{name}:")
    ]
    _, kind, salt, digest = line.split("$")
    wanted = hashlib.sha512(machine.account(name).password.encode() + base64.b64decode(salt)).digest()
    return kind == "6" and base64.b64decode(digest) == wanted


def test_two_runs_at_once_do_not_mix(machine: Machine) -> None:
    machine.init()
    (machine.folder / "private/lock").symlink_to(str(os.getpid()))
    done = machine.run("add-site", "edge-1")
    assert done.returncode == 1
    assert f"another setup is at work, process {os.getpid()}" in done.stderr


def test_without_the_key_of_the_ca_an_account_loses_its_rights_and_the_rest_is_left_for_later(
    machine: Machine,
) -> None:
    machine.init("--client-certificates")
    machine("add-site", "edge-1", "--certificate")
    machine("rotate", "edge-1")
    key = machine.folder / "private/ca.key"
    content = key.read_bytes()
    key.unlink()
    before = machine.snapshot()
    for command in (("rotate", "edge-1", "--finish"), ("add-site", "edge-2", "--certificate"), ("renew", "--now")):
        assert "ca.key is missing: put it back" in machine.run(*command).stderr
    assert machine.snapshot() == before
    assert "its certificates are not revoked" in machine.run("revoke", "edge-1").stderr
    assert "edge-1" not in (machine.folder / "config/accounts").read_text(encoding="ascii")
    assert "user edge-1\ntopic deny k8s/v1/#\n" in (machine.folder / "config/acl").read_text(encoding="utf-8")
    key.write_bytes(content)
    machine("revoke", "edge-1")
    assert len(list(machine.revocations())) == 2


def test_what_people_have_changed_in_the_configuration_stays(machine: Machine) -> None:
    machine.init()
    configuration = machine.folder / "config/mosquitto.conf"
    configuration.write_text(f"{configuration.read_text()}max_connections 5\n", encoding="utf-8")
    with (machine.folder / "config/acl").open("a", encoding="utf-8") as acl:
        acl.write("user dashboard\ntopic read k8s/v1/#\n")
    assert f"left {configuration} as it is" in machine.init()
    machine("add-consumer", "ops")
    machine("revoke", "ops")
    assert "max_connections 5" in configuration.read_text(encoding="utf-8")
    acl_text = (machine.folder / "config/acl").read_text(encoding="utf-8")
    assert "user dashboard\ntopic read k8s/v1/#\n" in acl_text


def test_rights_follow_the_topic_root_that_the_acl_has(machine: Machine) -> None:
    machine.init()
    acl = machine.folder / "config/acl"
    acl.write_text(acl.read_text(encoding="utf-8").replace("k8s/v1", "acme/alerts"), encoding="utf-8")
    assert "acme/alerts/edge-1/" in machine("add-site", "edge-1")
    machine("add-consumer", "ops")
    assert "topic read acme/alerts/#\n" in acl.read_text(encoding="utf-8")


def test_for_a_container_the_configuration_is_the_one_in_the_repository(machine: Machine) -> None:
    machine.init("--container", "--websockets", "--client-certificates")
    for name in ("mosquitto.conf", "acl", "conf.d/websockets.conf", "conf.d/client-certificates.conf"):
        assert (machine.folder / "config" / name).read_bytes() == (CONFIGURATION / name).read_bytes()
    assert "docker compose kill -s HUP broker" in machine("add-site", "edge-1")


def printed(said: str, machine: Machine, folder: Path) -> dict[str, object]:
    """Return the settings that setup has printed, with the files copied as it has said."""
    lines = said.splitlines()
    copies = [line.split(" -> ") for line in lines if " -> " in line]
    for source, target in copies:
        shutil.copy(source.strip(), folder / Path(target).name)
    start = next(number for number, line in enumerate(lines) if line.startswith("In "))
    block = [line for line in lines[start + 1 :] if line.startswith("  ")]
    text = "\n".join(block).replace("/etc/tocsin/", f"{folder}/")
    settings: dict[str, object] = yaml.safe_load(text.replace(":8883", ":8884"))
    assert machine.folder.exists()
    return settings


def test_what_it_says_to_write_and_to_copy_is_what_both_sides_accept(machine: Machine, tmp_path: Path) -> None:
    machine.init("--client-certificates", names=("broker.example.com",))
    producer = printed(machine("add-site", "edge-1", "--certificate"), machine, tmp_path)
    settings = ProducerSettings.model_validate(producer)
    assert settings.broker.connection(client_id="", username=settings.cluster).username == "edge-1"
    consumer = printed(machine("add-consumer", "ops", "--certificate"), machine, tmp_path)
    rest = {
        "store": f"sqlite:///{tmp_path}/db",
        "receivers": [{"name": "dump", "stdout": {}}],
        "route": {"receivers": []},
    }
    broker = ConsumerSettings.model_validate(consumer | rest).broker
    assert (broker.username, broker.url) == ("ops", "mqtts://broker.example.com:8884")
    assert broker.cert_file is not None


def test_without_openssl_it_says_so(machine: Machine, tmp_path: Path) -> None:
    for tool in ("sh", "dirname", "printf"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    machine.path = str(tmp_path)
    done = machine.run("init", "localhost")
    assert (done.returncode, done.stderr) == (
        1,
        "setup: openssl is missing; install it with the system's package manager\n",
    )


def test_help_names_every_command_and_option(machine: Machine) -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    commands = re.findall(r"(?m)^([a-z-]+)\) ", text)
    options = re.findall(r"(?m)^  (--[a-z-]+)\) ", text)
    assert {"init", "add-site", "add-consumer", "rotate", "revoke", "renew", "list"} == set(commands)
    assert {"--dir", "--now", "--finish"} < set(options)
    assert {*commands, *options} <= set(machine("--help").split())


def test_alone_without_the_files_beside_it_it_says_so(machine: Machine, tmp_path: Path) -> None:
    shutil.copy(SCRIPT, tmp_path / "setup")
    command = [str(tmp_path / "setup"), "--dir", str(machine.folder), "init", "localhost"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{tmp_path} lacks mosquitto.conf" in done.stderr
    assert not machine.folder.exists()
