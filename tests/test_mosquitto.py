import pytest

from tests import mosquitto
from tests.conftest import require_mosquitto


@pytest.fixture
def _missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosquitto, "is_installed", lambda: False)


@pytest.mark.usefixtures("_missing")
def test_without_mosquitto_a_test_skips_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install it"):
        require_mosquitto()


@pytest.mark.usefixtures("_missing")
def test_without_mosquitto_a_test_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="every test runs"):
        require_mosquitto()


def test_a_command_that_is_nowhere_is_not_found() -> None:
    assert mosquitto.find("mosquitto-of-nobody") is None
