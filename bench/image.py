"""How large the images are: what crosses the link when one is pulled, for each side and processor.

And what the producer takes of the machine's memory in the image for this machine, as bench/memory.py measures it:
the image has a Python of its own.

`python -m bench.image` builds them with buildah, which needs root but no daemon, and prints a table and its JSON.
`--base` names the image to build on, where no registry can be reached; docs/images.md tells how to make one.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.memory import Bench
from bench.row import Row, named, report

ROOT: Final = Path(__file__).parents[1]
BASE: Final = "debian:trixie-slim"
#: As .github/workflows/release.yml publishes them.
COMPRESSION: Final = ("--compression-format", "zstd", "--compression-level", "19")
SIDES: Final = ("producer", "consumer")
#: TARGETARCH and TARGETVARIANT by what people call it.
PROCESSORS: Final = {"amd64": ("amd64", ""), "arm64": ("arm64", ""), "arm/v7": ("arm", "v7")}
#: Which of these can be run here, by what the kernel calls this machine.
MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7"}


def main() -> None:
    """Build, measure, print; without buildah or a base there is nothing to print but that.

    The exit code is 1 when a bound is broken.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.image", description=__doc__)
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--processor", choices=PROCESSORS, action="append", help="default: all of them")
    parser.add_argument("--unpack", type=Path, metavar="FOLDER", help="put this machine's images there as files")
    options = parser.parse_args()
    if missing := _missing(options.base):
        sys.stdout.write(f"| not measured: {missing} | | |\n")
        report("image", [])
        return
    is_broken = report("image", rows(options.base, options.processor or [*PROCESSORS]))
    if options.unpack is not None:
        for side in SIDES:
            _unpack(_name(side, "amd64"), options.unpack / side)
    sys.exit(is_broken)


def _missing(base: str) -> str | None:
    """Return what cannot be had here, if anything."""
    if shutil.which("buildah") is None:
        return "buildah is not installed"
    for command in (["inspect", "--type", "image", base], ["pull", "--quiet", base]):
        if subprocess.run(["buildah", *command], capture_output=True, check=False).returncode == 0:  # noqa: S607
            return None
    return f"no image {base}"


def rows(base: str, processors: Sequence[str]) -> Iterator[Row]:
    """Build and measure the images of both sides."""
    for side in SIDES:
        for processor in processors:
            yield Row(f"{side} for {processor}, compressed", _measure(side, processor, base), "MB")
    if (own := MACHINES.get(platform.machine())) in processors:
        yield from _memory(str(own))


def _memory(processor: str) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "producer"
        _unpack(_name("producer", processor), image)
        _let_go(image)
        (python,) = (image / "usr/bin").glob("python3*")
        yield from named(f"producer in its image, {python.name}", Bench(image).rows())


def _let_go(folder: Path) -> None:
    """Have files read from the disk again, as on a node that was started since it pulled the image.

    What was just written is cached in large pieces, and of a library in such pieces more is mapped than is used.
    """
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.fsync(file)  # what is not written yet cannot be let go
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _measure(side: str, processor: str, base: str) -> float:
    """Build one image and return its size in megabytes, as a registry keeps it and a node pulls it."""
    architecture, variant = PROCESSORS[processor]
    arguments = {"BASE": base, "TARGETARCH": architecture, "TARGETVARIANT": variant}
    options = [option for name, value in arguments.items() for option in ("--build-arg", f"{name}={value}")]
    name = _name(side, processor)
    # The layers are kept apart, as in a registry; the platform is an argument, as nothing of it runs here.
    _buildah(
        "bud",
        "--layers",
        "--timestamp",
        "0",
        "--network",
        "host",
        *options,
        "-f",
        f"{side}/Dockerfile",
        "-t",
        name,
        ".",
    )
    with tempfile.TemporaryDirectory() as folder:
        _buildah("push", "--quiet", *COMPRESSION, name, f"oci:{folder}:measured")
        return round(sum(layer["size"] for layer in _manifest(Path(folder))["layers"]) / 1e6, 1)


def _manifest(folder: Path) -> dict[str, list[dict[str, int]]]:
    (entry,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    found: dict[str, list[dict[str, int]]] = json.loads(
        (folder / "blobs" / entry["digest"].replace(":", "/")).read_bytes()
    )
    return found


def _unpack(name: str, folder: Path) -> None:
    with _container(name) as container:
        mounted = _buildah("mount", container).strip()
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["cp", "--archive", mounted, str(folder)], check=True)  # noqa: S607 - found as by a person


@contextmanager
def _container(name: str) -> Iterator[str]:
    container = _buildah("from", name).strip()
    try:
        yield container
    finally:
        _buildah("rm", container)


def _name(side: str, processor: str) -> str:
    return f"localhost/tocsin-{side}:bench-{processor.replace('/', '')}"


def _buildah(*arguments: str) -> str:
    """Run buildah; what it has to say goes to standard error."""
    command = ["buildah", *arguments]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    if arguments[0] == "bud":
        sys.stderr.write(run.stdout)
    return run.stdout


if __name__ == "__main__":
    main()
