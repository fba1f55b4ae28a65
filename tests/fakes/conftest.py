from collections.abc import Iterator

import pytest

from tests.fakes.apiserver import ApiServer
from tests.fakes.apiserver_exchange import Client


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


@pytest.fixture
def client(server: ApiServer) -> Iterator[Client]:
    with Client(server) as connected:
        yield connected
