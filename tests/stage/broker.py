"""Mosquitto with our own configuration from `mosquitto/`: TLS, accounts, ACL, persistence."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import trustme

from tests.mosquitto import Mosquitto, find

CONFIGURATION = Path(__file__).parents[2] / "mosquitto"


@dataclass(frozen=True)
class Account:
    """A user name and the file with its password."""

    username: str
    password_file: Path


class Broker(Mosquitto):
    """A broker in a folder of its own, as `mosquitto/` describes it, on a free port of 127.0.0.1.

    Args:
        folder: for certificates, accounts, data and the log.
        extra: lines to add to the configuration.
    """

    preamble: ClassVar[str] = ""

    def __init__(self, folder: Path, *, extra: str = "") -> None:
        for name in ("config", "certs", "data"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA()
        self.certify()
        shutil.copy(CONFIGURATION / "acl", folder / "config" / "acl")
        (folder / "config" / "accounts").touch(mode=0o600)
        super().__init__(folder, f"{_moved_configuration()}\n{extra}\n")

    def certify(self, *, expired: bool = False) -> None:
        """Give it a certificate, which it uses from its next start on."""
        expires_at = datetime.now(UTC) - timedelta(days=1) if expired else None
        leaf = self._authority.issue_cert("localhost", key_type=trustme.KeyType.ECDSA, not_after=expires_at)
        self._authority.cert_pem.write_to_path(self.ca_file)
        leaf.private_key_pem.write_to_path(self._folder / "certs" / "tls.key")
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        (self._folder / "certs" / "tls.crt").write_bytes(chain)

    @property
    def ca_file(self) -> Path:
        """The certificate that clients verify the broker with."""
        return self._folder / "certs" / "ca.crt"

    def add_account(self, username: str) -> Account:
        """Make an account with a password of its own; a running broker has to be started anew for it."""
        password_file = self._folder / f"{username}.password"
        password_file.write_text(f"password-of-{username}\n", encoding="ascii")
        passwd = find("mosquitto_passwd")
        assert passwd is not None, "mosquitto_passwd is missing"
        accounts = self._folder / "config" / "accounts"
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


def _moved_configuration() -> str:
    """Return the project's own configuration with only its places and its port moved."""
    text = (CONFIGURATION / "mosquitto.conf").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^listener 8883$", "listener {port} 127.0.0.1", text)
    return re.sub(r"(?<= )/mosquitto/", "{folder}/", text)
