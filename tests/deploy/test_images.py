"""What goes into the images, as far as it shows without building them; tests/e2e/test_images.py runs them."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tocsin_producer.manifest import STATE_DIRECTORY, USER

ROOT = Path(__file__).parents[2]
SIDES = ("producer", "consumer")
PINNED = re.compile(r"^([a-z0-9.-]+)==(\S+) \\$", re.MULTILINE)


def lock(side: str) -> str:
    return (ROOT / side / "requirements.lock").read_text(encoding="utf-8")


def pinned(side: str) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in PINNED.findall(lock(side))}


def wanted(side: str) -> list[Requirement]:
    """Return what a side needs by itself; the producer's extra is for outside of a cluster."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"]["consumer"] if side == "consumer" else []
    return [Requirement(text) for text in (*project["dependencies"], *extra)]


@pytest.mark.parametrize("side", SIDES)
def test_everything_that_a_side_needs_is_pinned_to_a_version_that_it_takes(side: str) -> None:
    versions = pinned(side)
    for requirement in wanted(side):
        name = canonicalize_name(requirement.name)
        assert name in versions, f"run make lock: {name} is not pinned"
        assert requirement.specifier.contains(Version(versions[name])), f"run make lock: {name} is too old"


@pytest.mark.parametrize("side", SIDES)
def test_what_is_pinned_needs_nothing_that_is_not(side: str) -> None:
    """Told from what is installed here, where that is the same version."""
    versions = pinned(side)
    for name, version in versions.items():
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        needs = [Requirement(text) for text in installed.requires or ()] if installed.version == version else []
        missing = {
            canonicalize_name(need.name)
            for need in needs
            if need.marker is None or need.marker.evaluate({"extra": "", "python_version": "3.13"})
        } - set(versions)
        assert missing == set(), f"run make lock: {name} {version} needs them"


@pytest.mark.parametrize("side", SIDES)
def test_nothing_is_pinned_without_its_digests_and_no_index_is_named(side: str) -> None:
    blocks = re.split(r"(?m)^(?=[a-z])", lock(side))[1:]
    assert len(blocks) == len(pinned(side))
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in lock(side)
    assert "index" not in lock(side)


def test_the_kubernetes_package_stays_out_of_the_image_that_crosses_the_link() -> None:
    assert "kubernetes" not in pinned("producer")
    assert set(pinned("producer")) < set(pinned("consumer"))


@pytest.mark.parametrize("side", SIDES)
def test_a_dockerfile_starts_its_own_side_as_the_user_that_owns_the_state(side: str) -> None:
    text = (ROOT / side / "Dockerfile").read_text(encoding="utf-8")
    final = text.rpartition("FROM ")[2]
    assert final.startswith("scratch\n")  # no shell, no compiler, no pip
    assert f"USER {USER}:{USER}\n" in final
    assert f'ENTRYPOINT ["/usr/bin/tocsin-{side}"]' in final
    assert f"--chown={USER}:{USER} /roots/state {STATE_DIRECTORY}\n" in final


def test_the_dockerfiles_differ_in_their_side_alone() -> None:
    producer, consumer = ((ROOT / side / "Dockerfile").read_text(encoding="utf-8") for side in SIDES)
    assert re.sub("producer|its few packages", "", producer) == re.sub("consumer|its packages", "", consumer)
