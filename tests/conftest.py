"""What holds for all tests."""

import os

import pytest

from tests import mosquitto


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Keep the word of the marker `broker`."""
    if item.get_closest_marker("broker") is not None:
        require_mosquitto()


def require_mosquitto() -> None:
    """Skip the test where Mosquitto or openssl is missing, and fail it in CI."""
    if mosquitto.is_installed():
        return
    if os.environ.get("CI"):
        pytest.fail("Mosquitto or openssl is missing: in CI every test runs")
    pytest.skip("Mosquitto or openssl is missing; install it with the system's package manager")
