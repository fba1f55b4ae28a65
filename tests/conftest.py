"""What holds for all tests."""

import os

import pytest
from hypothesis import settings

from tests import mosquitto

# What CI tells of a commit does not depend on chance; people's runs go on looking for what nobody has thought of.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


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
