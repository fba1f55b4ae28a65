#!/usr/bin/env python3
"""Puts together the files of an image, in a build stage of the Dockerfiles: no more than one side of tocsin needs.

Nothing of the target runs here, so that an image for another processor is built without emulating it: packages of
Debian are unpacked and not installed, wheels are picked by their platform, .pyc files are the same everywhere.
Three steps fill three folders, each a layer of the image: what changes seldom is then seldom sent over the link.

    image_root.py system ROOT SIDE ARCHITECTURE [VARIANT]     Python, and what it needs of Debian
    image_root.py packages ROOT SIDE ARCHITECTURE [VARIANT]   what SIDE/requirements.lock pins
    image_root.py source ROOT SIDE                            tocsin itself, and its command

The Python that runs this has to be of the version that it puts there. It needs pyelftools, pip, apt and dpkg.
"""

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Architecture:
    """What a processor is called: by Debian, in its folder of libraries, in wheels and in ELF files."""

    debian: str
    triplet: str
    wheel: str
    elf: str


#: By the names that Dockerfiles have for them: TARGETARCH and TARGETVARIANT.
ARCHITECTURES = {
    "amd64": Architecture("amd64", "x86_64-linux-gnu", "x86_64", "EM_X86_64"),
    "arm64": Architecture("arm64", "aarch64-linux-gnu", "aarch64", "EM_AARCH64"),
    "armv7": Architecture("armhf", "arm-linux-gnueabihf", "armv7l", "EM_ARM"),
}
DEBIAN = (
    f"python{VERSION}-minimal",
    f"libpython{VERSION}-minimal",
    f"libpython{VERSION}-stdlib",
    "libc6",
    "libexpat1",
    "libgcc-s1",
    "libsqlite3-0",
    "libssl3t64",
    "libzstd1",
    "zlib1g",
    "base-files",
)
#: What wheels may ask for beside what Python itself does: manylinux is older than glibc's joining of its parts.
FOR_WHEELS = ("libdl.so.2", "libgcc_s.so.1", "libpthread.so.0", "librt.so.1")
#: Parts of the standard library that neither side imports, nor anything that they import …
_BOTH = """
_bz2 _curses _curses_panel _dbm _gdbm _lzma _multiprocessing _posixshmem _pydatetime _pydecimal _pyio _pyrepl
_tkinter _uuid __hello__ __phello__ antigravity bdb bz2 cProfile ctypes curses dbm doctest ensurepip filecmp
fileinput ftplib idlelib imaplib lzma mailbox modulefinder multiprocessing pdb pickletools plistlib poplib profile
pstats pty pydoc pydoc_data readline rlcompleter sched symtable tabnanny test this tkinter trace tty turtle
turtledemo unittest venv webbrowser xmlrpc zipapp
"""
#: … and what only the consumer does: the producer speaks no language but UTF-8, and runs no event loop.
_CONSUMER = """
_asyncio _elementtree _interpchannels _interpqueues _interpreters _multibytecodec _statistics asyncio colorsys
concurrent getpass graphlib html netrc optparse smtplib statistics tarfile tomllib wsgiref xml
"""
UNUSED = {
    "producer": frozenset(f"{_BOTH} {_CONSUMER}".split()),
    "consumer": frozenset(_BOTH.split()),
}
#: Parts of packages that nothing here uses; _yaml is the C half of PyYAML, of which this uses the Python half.
UNUSED_PARTS = (
    "bin",
    "_yaml",
    "yaml/_yaml*.so",
    "markupsafe/_speedups*",
    "pydantic/v1",
    "pydantic/mypy.py",
    "sqlalchemy/testing",
    "sqlalchemy/dialects/mssql",
    "sqlalchemy/dialects/mysql",
    "sqlalchemy/dialects/oracle",
    "*.dist-info/INSTALLER",
    "*.dist-info/RECORD",
    "*.dist-info/REQUESTED",
    "*.dist-info/WHEEL",
    "**/*.pyi",
    "**/py.typed",
    "**/*.c",
    "**/*.pyx",
    "**/*.pxd",
)
PACKAGES = f"usr/local/lib/python{VERSION}/dist-packages"
#: Who the process is, and who the owner of its state.
USER = "tocsin:x:65532:65532::/var/lib/tocsin:/sbin/nologin\n"
GROUP = "tocsin:x:65532:\n"
HOSTS = "127.0.0.1 localhost\n::1 localhost\n"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def system(root: Path, side: str, architecture: Architecture) -> None:
    """Fill `root` with Python, the libraries that it needs, and certificates."""
    root.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        for package in download(Path(folder), architecture):
            run("dpkg-deb", "--extract", str(package), str(root))
            note(root, package)
    library = root / f"usr/lib/python{VERSION}"
    remove(unused_modules(library, UNUSED[side]))
    remove(unused_files(root))
    remove(unneeded_libraries(root, architecture))
    compile_all(library, root, optimize=2)
    remove(broken_links(root))
    remove(empty_folders(root))
    set_up(root)
    settle(root)


def packages(root: Path, side: str, architecture: Architecture, *, base: Path) -> None:
    """Fill `root` with the wheels that are pinned: those for `architecture`, or for any.

    A package that has no wheel for it is taken from the one for amd64, without what is compiled in there.
    """
    target = root / PACKAGES
    platforms = [f"manylinux2014_{name}" for name in (architecture.wheel, "x86_64")]
    abis = (f"cp{VERSION.replace('.', '')}", "abi3", "none")
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--require-hashes"),
        *("--disable-pip-version-check", "--no-cache-dir", "--root-user-action=ignore", "--only-binary=:all:"),
        *("--target", str(target), "--python-version", VERSION, "--implementation", "cp"),
        *(f"--abi={abi}" for abi in abis),
        *(f"--platform={platform}" for platform in platforms),
        *("--requirement", f"{side}/requirements.lock"),
    )
    remove(path for pattern in UNUSED_PARTS for path in target.glob(pattern))
    check_modules(target, architecture, libraries=base / "usr/lib" / architecture.triplet)
    compile_all(target, root, optimize=2)
    settle(root)


def source(root: Path, side: str) -> None:
    """Fill `root` with the packages of one side, and the command that starts it."""
    target = root / PACKAGES
    for package in (f"{side}/tocsin_{side}", "schemas/tocsin_schemas"):
        shutil.copytree(
            package, target / Path(package).name, ignore=shutil.ignore_patterns("__pycache__", "py.typed")
        )
    script = root / f"usr/bin/tocsin-{side}"
    script.parent.mkdir(parents=True)
    script.write_text(f"#!/usr/bin/python{VERSION} -P\nfrom tocsin_{side}.cli import main\n\nmain()\n")
    script.chmod(0o755)
    compile_all(target, root)
    settle(root)


def download(folder: Path, architecture: Architecture) -> list[Path]:
    """Return Debian's packages, as apt finds and checks them."""
    run("dpkg", "--add-architecture", architecture.debian)
    run("apt-get", "-qq", "update")
    names = [f"{package}:{architecture.debian}" for package in DEBIAN]
    run("apt-get", "-qq", "--option=APT::Sandbox::User=root", "download", *names, cwd=folder)
    return sorted(folder.glob("*.deb"))


def note(root: Path, package: Path) -> None:
    """Note what was unpacked where scanners for known faults look for it in images without dpkg."""
    folder = root / "var/lib/dpkg/status.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / package.name.partition("_")[0]).write_text(run("dpkg-deb", "--field", str(package)))


def unused_modules(library: Path, names: frozenset[str]) -> Iterator[Path]:
    """Yield the files and folders of the modules `names`, and what CPython tests and builds itself with."""
    for path in (*library.iterdir(), *(library / "lib-dynload").iterdir()):
        name = path.name.partition(".")[0]
        if name in names or name.startswith(("_test", "_xx", "xx", "_ctypes", "config-")):
            yield path
    if "_multibytecodec" in names:
        yield from (library / "lib-dynload").glob("_codecs_*")
        yield from (
            path for path in (library / "encodings").glob("*.py") if b"import _codecs_" in path.read_bytes()
        )


def unused_files(root: Path) -> Iterator[Path]:
    """Yield what is neither Python nor a library nor a license, nor tells scanners which system this is."""
    kept = (f"usr/bin/python{VERSION}", "usr/lib", "usr/lib64", "etc/os-release", "var/lib/dpkg", "lib", "lib64")
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        is_kept = name in kept or name.startswith(tuple(f"{folder}/" for folder in kept))
        if not path.is_dir() and not is_kept and path.name != "copyright":
            yield path
    yield from (root / "usr/lib" / name for name in ("binfmt.d", "python3", "valgrind"))


def unneeded_libraries(root: Path, architecture: Architecture) -> Iterator[Path]:
    """Yield every library that neither Python nor a module of it or of a wheel needs."""
    libraries = root / "usr/lib" / architecture.triplet
    modules = (root / f"usr/lib/python{VERSION}/lib-dynload").glob("*.so")
    roots = [root / f"usr/bin/python{VERSION}", *modules, *(libraries / name for name in FOR_WHEELS)]
    wanted = {*roots, *needed(roots, libraries)}
    wanted |= {path.resolve() for path in wanted}
    return (path for path in libraries.rglob("*") if not path.is_dir() and path not in wanted)


def needed(files: Iterable[Path], libraries: Path) -> set[Path]:
    """Return all that `files` need of the folder `libraries`, and what that needs itself."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        for path in (libraries / name for name in names_of_needed(file)):
            if not path.exists():
                raise SystemExit(f"{file} needs {path.name}, which is in no package of DEBIAN")
            if path not in found:
                found.add(path)
                waiting.append(path)
    return found


def names_of_needed(file: Path) -> list[str]:
    """Return the names of the libraries that an ELF file asks for."""
    with file.open("rb") as stream:
        sections = [section for section in ELFFile(stream).iter_sections() if isinstance(section, DynamicSection)]
        return [tag.needed for section in sections for tag in section.iter_tags("DT_NEEDED")]


def check_modules(target: Path, architecture: Architecture, *, libraries: Path) -> None:
    """Remove compiled modules of another processor if there is the same in Python; raise SystemExit if not."""
    for module in target.rglob("*.so"):
        with module.open("rb") as stream:
            machine = ELFFile(stream).header["e_machine"]
        if machine == architecture.elf:
            needed([module], libraries)
        elif (module.parent / f"{module.name.partition('.')[0]}.py").exists():
            module.unlink()
        else:
            raise SystemExit(f"{module.relative_to(target)} has no wheel for {architecture.debian}")


def compile_all(folder: Path, root: Path, *, optimize: int = 0) -> None:
    """Put a .pyc in the place of each .py: read as it is, as nothing there can change.

    `optimize=2` leaves out docstrings, which cost memory as well.
    """
    compiled = compileall.compile_dir(
        folder,
        quiet=1,
        legacy=True,
        optimize=optimize,
        stripdir=str(root),
        prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        raise SystemExit(f"not all of {folder} can be compiled")
    remove(folder.rglob("*.py"))


def set_up(root: Path) -> None:
    """Write what a process finds in every system: its user, how names are looked up, who is to be trusted."""
    files = {"passwd": USER, "group": GROUP, "nsswitch.conf": "hosts: files dns\n", "hosts": HOSTS}
    certificates = root / BUNDLE.relative_to("/")
    certificates.parent.mkdir(parents=True)
    shutil.copy(BUNDLE, certificates)
    for name, content in files.items():
        (root / "etc" / name).write_text(content)
    (root / "usr/lib/ssl").mkdir()
    (root / "usr/lib/ssl/cert.pem").symlink_to(BUNDLE)  # where OpenSSL looks for it
    for directory in ("run", "tmp", "etc/tocsin"):
        (root / directory).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "var/run").symlink_to("/run")


def settle(root: Path) -> None:
    """Give every file the same time: the same content is then the same layer."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    for path in [root, *root.rglob("*")]:
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def broken_links(root: Path) -> Iterator[Path]:
    """Yield links to what has been removed."""
    for path in root.rglob("*"):
        if path.is_symlink():
            link = path.readlink()
            target = root / link.relative_to("/") if link.is_absolute() else path.parent / link
            if not (target.exists() or target.is_symlink()):
                yield path


def empty_folders(root: Path) -> Iterator[Path]:
    """Yield folders that hold nothing but such folders."""
    for path in sorted(root.rglob("*")):
        if path.is_dir() and not path.is_symlink() and all(inner.is_dir() for inner in path.rglob("*")):
            yield path


def remove(paths: Iterable[Path]) -> None:
    """Remove files and whole folders; what is not there is no matter."""
    for path in list(paths):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)  # it may be gone with the folder around it
        else:
            path.unlink(missing_ok=True)


def run(*command: str, cwd: Path | None = None) -> str:
    """Return what a command prints."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=cwd).stdout  # noqa: S603 - our own lines


def main() -> None:
    """Do one of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["system", "packages", "source"])
    parser.add_argument("root", type=Path)
    parser.add_argument("side", choices=["producer", "consumer"])
    parser.add_argument("architecture", nargs="*")
    parser.add_argument("--base", type=Path, help="the root that `system` has filled")
    options = parser.parse_args()
    architecture = ARCHITECTURES.get("".join(options.architecture))
    if options.step == "source":
        source(options.root, options.side)
    elif architecture is None:
        parser.error(f"expected one of {', '.join(ARCHITECTURES)}")
    elif options.step == "system":
        system(options.root, options.side, architecture)
    else:
        packages(options.root, options.side, architecture, base=options.base)


if __name__ == "__main__":
    main()
