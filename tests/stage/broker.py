"""Mosquitto with our own configuration from `mosquitto/`, made by `mosquitto/setup` as people make theirs."""

import getpass
import re
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, Final

import trustme

from tests.mosquitto import Mosquitto, free_port

CONFIGURATION: Final = Path(__file__).parents[2] / "mosquitto"
#: Where the listeners of our configuration are that tests ask for by their usual port.
USUAL_PORT: Final = 8883


@dataclass(frozen=True)
class Account:
    """A user name, the folder with what is to be copied to its client, and the file with its password."""

    username: str
    folder: Path

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    @property
    def password(self) -> str:
        return self.password_file.read_text(encoding="ascii").strip()


class Broker(Mosquitto):
    """A broker in a folder of its own, as `mosquitto/` describes it, on free ports of 127.0.0.1.

    Args:
        folder: for certificates, accounts, data and the log.
        options: further options of `setup init`.
        extra: lines to add to the configuration.
        user: as whom it runs, by default as who runs the tests.
    """

    preamble: ClassVar[str] = ""

    def __init__(self, folder: Path, *options: str, extra: str = "", user: str | None = None) -> None:
        self.folder = folder
        owner = user or getpass.getuser()
        self.setup("init", "--data", str(folder / "data"), "--owner", owner, *options, "localhost")
        configuration = self.config / "mosquitto.conf"
        #: The ports that the listeners have here, by those that they have in our configuration.
        self.ports = {USUAL_PORT: free_port()}
        for file in sorted((self.config / "conf.d").glob("*.conf")):
            self._move(file)
        super().__init__(folder, f"{self._moved(configuration)}\n{extra}\n", file=configuration, user=owner)
        self.port = self.ports[USUAL_PORT]

    def listening(self) -> Collection[int]:
        return self.ports.values()

    @property
    def config(self) -> Path:
        """Where what the broker reads is."""
        return self.folder / "config"

    @property
    def ca_file(self) -> Path:
        """The certificate that clients verify the broker with."""
        return self.folder / "certs" / "ca.crt"

    def setup(self, *arguments: str) -> str:
        """Run `mosquitto/setup` and return what it says."""
        command = [str(CONFIGURATION / "setup"), "--dir", str(self.folder), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def certify(self, *, expired: bool = False) -> None:
        """Give it a certificate, which it takes when it is told to read its files again, or starts."""
        if not expired:
            self.setup("renew", "--now")
            return
        authority = trustme.CA.from_pem(
            self.ca_file.read_bytes(), (self.folder / "private" / "ca.key").read_bytes()
        )
        leaf = authority.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1))
        leaf.private_key_pem.write_to_path(self.folder / "certs" / "tls.key")
        leaf.cert_chain_pems[0].write_to_path(self.folder / "certs" / "tls.crt")

    def add_site(self, cluster: str, *options: str) -> Account:
        """Make the account of a cluster's producer; a broker that runs takes it over."""
        self.setup("add-site", *options, cluster)
        return self.account(cluster)

    def add_consumer(self, name: str, *options: str) -> Account:
        """Make the account of a consumer; a broker that runs takes it over."""
        self.setup("add-consumer", *options, name)
        return self.account(name)

    def account(self, username: str) -> Account:
        """Return an account that was made."""
        return Account(username, self.folder / "private" / "clients" / username)

    def access(self, account: Account, *, port: int | None = None) -> dict[str, str]:
        """Return the section `broker` of a configuration that reaches it, by way of `port` if one is given."""
        return {
            "url": f"mqtts://localhost:{port or self.port}",
            "username": account.username,
            "password_file": str(account.password_file),
            "ca_file": str(self.ca_file),
        }

    def _move(self, file: Path) -> None:
        file.write_text(self._moved(file), encoding="utf-8")

    def _moved(self, file: Path) -> str:
        """Return a file of the configuration with its listeners at ports of the loopback."""

        def at_loopback(match: re.Match[str]) -> str:
            return f"listener {self.ports.setdefault(int(match[1]), free_port())} 127.0.0.1"

        return re.sub(r"(?m)^listener (\d+)$", at_loopback, file.read_text(encoding="utf-8"))
