"""What counts as a change of the configuration file, and what it says then."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tocsin_consumer import config_file
from tocsin_consumer.check import load_checked
from tocsin_consumer.config_file import ConfigFile
from tocsin_schemas.configuration import ConfigurationError


class Sut:
    """A configuration with a secret in a file of its own, in a folder as Kubernetes mounts it or a plain one."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.path = folder / "consumer.yaml"
        self.secret = folder / "url"
        self.secret.write_text("https://example.com/a")
        self.write()
        self.file = ConfigFile(self.path, environment or {})

    def write(self, **changes: Any) -> None:
        values = {
            "broker": {"url": "mqtt://localhost:1", "username": "ops"},
            "store": f"sqlite:///{self.folder}/tocsin.db",
            "receivers": [{"name": "hook", "webhook": {"url_file": str(self.secret)}}],
            "route": {"receivers": ["hook"]},
        }
        self.path.write_text(json.dumps(values | changes))

    def settles(self) -> bool:
        """Whether there is a change, once the file has held still."""
        self.file.has_changed()
        return self.file.has_changed()


@pytest.fixture
def sut(tmp_path: Path) -> Sut:
    return Sut(tmp_path)


def test_a_change_counts_once_the_file_has_held_still(sut: Sut) -> None:
    sut.file.load()
    assert not sut.settles()
    sut.write(language="zh")
    assert not sut.file.has_changed()
    sut.path.write_text(sut.path.read_text() + "\n")
    assert not sut.file.has_changed()
    assert sut.file.has_changed()
    assert sut.file.load().settings.language == "zh"
    assert not sut.settles()


def test_a_file_that_says_the_same_again_is_equal_to_what_was_loaded_before(sut: Sut) -> None:
    before = sut.file.load()
    sut.write()
    assert sut.settles()
    assert sut.file.load() == before


def test_a_secret_that_has_changed_is_a_change_though_the_settings_are_equal(sut: Sut) -> None:
    before = sut.file.load()
    sut.secret.write_text("https://example.com/b")
    assert sut.settles()
    after = sut.file.load()
    assert after.settings == before.settings
    assert after != before


def test_a_folder_that_kubernetes_swaps_for_another_is_a_change(tmp_path: Path) -> None:
    first, second, data = (tmp_path / name for name in ("..first", "..second", "..data"))
    for folder in (first, second):
        folder.mkdir()
        Sut(folder).write(language="en" if folder == first else "zh")
    data.symlink_to(first.name)
    (tmp_path / "consumer.yaml").symlink_to("..data/consumer.yaml")
    file = ConfigFile(tmp_path / "consumer.yaml", {})
    assert file.load().settings.language == "en"
    (tmp_path / "..tmp").symlink_to(second.name)
    (tmp_path / "..tmp").replace(data)
    assert (file.has_changed(), file.has_changed()) == (False, True)
    assert file.load().settings.language == "zh"


def test_variables_stand_over_a_changed_file_and_may_name_a_file_to_look_at(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("first")
    sut = Sut(tmp_path, {"TOCSIN_TIME_ZONE": "Asia/Shanghai", "TOCSIN_BROKER_PASSWORD_FILE": str(password)})
    before = sut.file.load()
    sut.write(time_zone="UTC", language="zh")
    after = sut.file.load()
    assert (after.settings.time_zone.key, after.settings.language) == ("Asia/Shanghai", "zh")
    assert after.settings.broker.password_file == before.settings.broker.password_file == password
    password.write_text("another")
    assert sut.settles()


def test_what_was_wrong_is_mended_by_a_file_that_was_missing(sut: Sut) -> None:
    sut.file.load()
    missing = sut.folder / "missing"
    sut.write(receivers=[{"name": "hook", "webhook": {"url_file": str(missing)}}])
    assert sut.settles()
    with pytest.raises(ConfigurationError, match="missing"):
        sut.file.load()
    assert not sut.settles()
    missing.write_text("https://example.com/c")
    assert sut.settles()
    sut.file.load()


def test_a_change_while_the_file_is_being_read_is_seen_afterwards(
    sut: Sut, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_then_change(*arguments: Any) -> Any:
        loaded = load_checked(*arguments)
        sut.write(language="zh")
        return loaded

    with monkeypatch.context() as patched:
        patched.setattr(config_file, "load_checked", load_then_change)
        assert sut.file.load().settings.language == "en"
    assert sut.settles()


def test_a_file_that_is_gone_is_told_once_and_counts_again_when_it_is_back(sut: Sut) -> None:
    sut.file.load()
    sut.path.unlink()
    assert sut.settles()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        sut.file.load()
    assert not sut.settles()
    sut.write()
    assert sut.settles()
