"""What the agent needs to know: settings and the way to the API server, resolved, checked and plain.

The command validates with pydantic and resolves with the kubernetes package; the agent that takes its place
reads this from a file descriptor and imports neither.
"""

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from tocsin_producer.filter import Rule
from tocsin_schemas.session import Broker


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where the API server is and who we are to it.

    A token file is read anew for each request. Certificates are PEM texts.
    """

    url: str
    ca: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    client_certificate: str | None = field(default=None, repr=False)
    client_key: str | None = field(default=None, repr=False)
    verify: bool = True
    server_name: str | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether we have nothing to show: a command that a kubeconfig names may have failed."""
        return self.token is None and self.token_file is None and self.client_certificate is None


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded watch instead of an API server; a speed of 0 is as fast as it goes."""

    path: str
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run of the agent depends on; `resolve_command` prints its `ApiServer` anew, if it may change."""

    cluster: str
    topic_root: str
    broker: Broker
    source: ApiServer | Replay
    include: list[Rule]
    exclude: list[Rule]
    fold_seconds: float
    budget_bytes_per_day: int | None
    budget_reset_seconds: int
    outbox_path: str | None
    outbox_max_messages: int
    outbox_max_bytes: int
    message_limit: int
    http_listen: str | None
    log_level: str
    log_format: str
    resolve_command: list[str]

    def pass_on(self) -> int:
        """Write this where only this process and what it becomes can read it; return the descriptor."""
        descriptor = _private_file()
        os.write(descriptor, json.dumps(asdict(self)).encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - the function has no keywords
        return descriptor

    @classmethod
    def receive(cls, descriptor: int) -> Self:
        """Read what `pass_on` wrote, and close it."""
        with os.fdopen(descriptor, "rb") as file:
            values: dict[str, Any] = json.load(file)
        source = values.pop("source")
        return cls(
            broker=Broker(**values.pop("broker")),
            source=ApiServer(**source) if "url" in source else Replay(**source),
            include=[Rule(**rule) for rule in values.pop("include")],
            exclude=[Rule(**rule) for rule in values.pop("exclude")],
            **values,
        )


def _private_file() -> int:
    """Return a descriptor of a file without a name: in memory where the system can, as a root is read-only."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("tocsin-plan", 0)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
