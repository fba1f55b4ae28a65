"""The images lack parts of the standard library: everything has to work without them."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.producer.conftest import RECORDING
from tests.stage.process import Process
from tests.stage.site import Site
from tests.waiting import until

SCRIPT = Path(__file__).parents[2] / "scripts" / "image_root.py"
#: What Python runs before anything else: from then on, what is named is not to be found.
HIDES = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"{{name}} is not in the image")

sys.meta_path.insert(0, Absent())
"""


def image_root() -> ModuleType:
    """Return the script that leaves them out."""
    spec = importlib.util.spec_from_file_location("image_root", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def without_unused(process: Process, side: str, folder: Path) -> Process:
    """Let a process find no module that the image of its side lacks."""
    hiding = folder / f"as-in-the-image-of-the-{side}"
    hiding.mkdir()
    (hiding / "sitecustomize.py").write_text(HIDES.format(names=set(image_root().UNUSED[side])))
    process.environment["PYTHONPATH"] = str(hiding)
    return process


@pytest.mark.broker
def test_both_sides_work_without_what_their_images_lack(site: Site, tmp_path: Path) -> None:
    without_unused(site.consumer, "consumer", tmp_path)
    site.start_consumer()
    arguments = ("run", "--config", str(tmp_path / "producer.yaml"), "--replay", str(RECORDING), "--speed", "0")
    replay = Process("replay", "-m", "tocsin_producer", *arguments, folder=tmp_path)
    with without_unused(replay, "producer", tmp_path):
        assert replay.wait() == 0, replay.log
    until(lambda: site.recorded() and not site.pending())
    assert site.consumer.stop() == 0
    assert "not in the image" not in site.consumer.log + replay.log


def test_what_is_left_out_is_hidden(tmp_path: Path) -> None:
    """Else the test above could not fail."""
    probe = Process("probe", "-c", "import asyncio", folder=tmp_path)
    with without_unused(probe, "producer", tmp_path):
        assert probe.wait() == 1
    assert "asyncio is not in the image" in probe.log
