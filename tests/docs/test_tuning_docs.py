"""What the document about tuning says, the code does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.consumer.produced import RECORDING
from tests.docs.markdown import command_lines
from tests.docs.test_docs import ROOT
from tocsin_consumer.store import Store

DOCUMENT = ROOT / "docs" / "tuning.md"
CONFIG = """\
broker: {{url: "mqtt://localhost:1", username: ops}}
store: sqlite:///{folder}/tocsin.db
receivers:
  - {{name: ops, feishu: {{url: "https://open.feishu.cn/open-apis/bot/v2/hook/0"}}}}
route: {{receivers: [ops]}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where somebody has a configuration, a recording and a consumer that has run."""
    (tmp_path / "consumer.yaml").write_text(CONFIG.format(folder=tmp_path), encoding="utf-8")
    (tmp_path / "recording.ndjson").write_bytes(RECORDING.read_bytes())
    Store(f"sqlite:///{tmp_path}/tocsin.db").close()
    return tmp_path


@pytest.mark.parametrize(
    "words", command_lines(DOCUMENT, tested_only=True), ids=lambda words: " ".join(words[1:3])
)
def test_the_commands_of_the_document_work(folder: Path, words: list[str]) -> None:
    program, *arguments = words
    assert program == "tocsin-consumer"
    done = subprocess.run(
        [sys.executable, "-m", "tocsin_consumer", *arguments],
        cwd=folder,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
