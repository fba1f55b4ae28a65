"""What a running producer says of itself."""

import urllib.error
import urllib.request


class Probes:
    """Asks the producer whose probes are answered at `port`."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str) -> tuple[int, str]:
        """Return status and text of a page; 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def figure(self, name: str) -> float:
        """Return one of its figures, -1 while nobody answers."""
        for line in self.ask("/metrics")[1].splitlines():
            if line.startswith(f"tocsin_producer_{name} "):
                return float(line.split()[1])
        return -1.0
