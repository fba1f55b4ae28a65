"""The real Mosquitto with our own configuration from `mosquitto/`: TLS, accounts, ACL, persistence."""

import os
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import trustme

from tests.waiting import until

CONFIGURATION = Path(__file__).parents[2] / "mosquitto"
#: Where Debian and Homebrew put daemons, which is not on everybody's PATH.
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))


def find_mosquitto() -> str | None:
    """Return where Mosquitto is, or None."""
    return shutil.which("mosquitto", path=_PATH)


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True)
class Account:
    """A user name and the file with its password."""

    username: str
    password_file: Path


class Broker:
    """A broker in a folder of its own, as `mosquitto/` describes it, on a free port of 127.0.0.1.

    Args:
        folder: for certificates, accounts, data and the log.
        extra: lines to add to the configuration.
    """

    def __init__(self, folder: Path, *, extra: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("config", "certs", "data"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.authority = trustme.CA()
        self._write_certificates()
        shutil.copy(CONFIGURATION / "acl", folder / "config" / "acl")
        (folder / "config" / "accounts").touch(mode=0o600)
        (folder / "mosquitto.conf").write_text(self._configuration(), encoding="utf-8")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def ca_file(self) -> Path:
        """The certificate that clients verify the broker with."""
        return self.folder / "certs" / "ca.crt"

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"mqtts://localhost:{self.port}"

    @property
    def log(self) -> str:
        """All that it has logged so far."""
        return (self.folder / "mosquitto.log").read_text(encoding="utf-8", errors="replace")

    def add_account(self, username: str) -> Account:
        """Make an account with a password of its own; a running broker has to be started anew for it."""
        password_file = self.folder / f"{username}.password"
        password_file.write_text(f"password-of-{username}\n", encoding="ascii")
        passwd = shutil.which("mosquitto_passwd", path=_PATH)
        assert passwd is not None
        accounts = self.folder / "config" / "accounts"
        command = [passwd, "-b", str(accounts), username, f"password-of-{username}"]
        subprocess.run(command, check=True, capture_output=True)
        return Account(username, password_file)

    def access(self, account: Account, *, port: int | None = None) -> dict[str, str]:
        """Return the section `broker` of a configuration that reaches it, by way of `port` if one is given."""
        return {
            "url": f"mqtts://localhost:{port or self.port}",
            "username": account.username,
            "password_file": str(account.password_file),
            "ca_file": str(self.ca_file),
        }

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        mosquitto = find_mosquitto()
        assert mosquitto is not None
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [mosquitto, "-c", str(self.folder / "mosquitto.conf")],
                stdout=log,
                stderr=log,
            )
        until(self._takes_connections, otherwise=f"the broker does not start:\n{self.log}")

    def stop(self) -> None:
        """End it as the system would."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def kill(self) -> None:
        """End it at once (kill -9)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _takes_connections(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def _write_certificates(self) -> None:
        certificate = self.authority.issue_cert("localhost", key_type=trustme.KeyType.ECDSA)
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        certificate.private_key_pem.write_to_path(str(self.folder / "certs" / "tls.key"))
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        (self.folder / "certs" / "tls.crt").write_bytes(chain)

    def _configuration(self) -> str:
        """Return the project's own configuration with only its places and its port moved."""
        text = (CONFIGURATION / "mosquitto.conf").read_text(encoding="utf-8")
        text = re.sub(r"(?m)^listener 8883$", f"listener {self.port} 127.0.0.1", text)
        text = re.sub(r"(?<= )/mosquitto/", f"{self.folder}/", text)
        if os.geteuid() == 0:
            text += "\nuser root\n"  # else it gives up root, and with it the way into this folder
        return f"{text}\n{self._extra}\n"
