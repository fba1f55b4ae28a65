import shutil

import pytest

from tests.mosquitto import executable


@pytest.fixture
def _missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(shutil, "which", nowhere)


@pytest.mark.usefixtures("_missing")
def test_without_mosquitto_a_test_skips_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install it"):
        executable()


@pytest.mark.usefixtures("_missing")
def test_without_mosquitto_a_test_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="every test runs"):
        executable()
