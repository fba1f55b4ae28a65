from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require_mosquitto
from tests.stage.broker import Broker
from tests.waiting import until


class Fleet:
    """A running broker with two sites and a consumer, each with a password and a certificate."""

    def __init__(self, folder: Path) -> None:
        # It tells as information that it reads its files again.
        self.broker = Broker(folder, "--client-certificates", extra="log_type information")
        self.site, self.other = (self.broker.add_site(name, "--certificate") for name in ("edge-1", "edge-2"))
        self.consumer = self.broker.add_consumer("ops", "--certificate")

    def reloads(self) -> int:
        """Return how often the broker has read its files again."""
        return self.broker.log().count("Reloading config")

    def wait_for_reloads(self, count: int) -> None:
        """Wait until it has begun to do so `count` times."""
        until(lambda: self.reloads() >= count)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet to do with as the test likes."""
    require_mosquitto()
    fleet = Fleet(tmp_path)
    with fleet.broker:
        yield fleet


@pytest.fixture(scope="module")
def shared_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet for tests that leave its accounts as they are."""
    require_mosquitto()
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    with fleet.broker:
        yield fleet
