"""What a process costs, as Linux counts it."""

import re
import time
from pathlib import Path
from typing import Final

#: CPUCLOCK_SCHED: what the scheduler counts. In Linux the name of a clock is made of that and of the process.
_SCHEDULED: Final = 2


def resident_mib(pid: int) -> float:
    """Return how much memory it has resident now."""
    return _memory(pid, "VmRSS")


def peak_mib(pid: int) -> float:
    """Return how much memory it has had resident at most."""
    return _memory(pid, "VmHWM")


def cpu_seconds(pid: int) -> float:
    """Return how long it has computed so far, in itself and in the kernel, to the nanosecond."""
    return time.clock_gettime(~pid << 3 | _SCHEDULED)  # MAKE_PROCESS_CPUCLOCK, as clock_getcpuclockid(3) has it


def wakeups(pid: int) -> int:
    """Return how often its threads have waited for something so far."""
    found = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        found += int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE)[0])
    return found


def _memory(pid: int, name: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    return int(re.findall(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[0]) / 1024
