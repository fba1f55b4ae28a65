"""Views of the samples, for tests of what is made of them."""

from zoneinfo import ZoneInfo

from tocsin_consumer.labels import Language
from tocsin_consumer.samples import samples
from tocsin_consumer.view import View

SHANGHAI = ZoneInfo("Asia/Shanghai")


def view(name: str = "back-off", *, language: Language = "en") -> View:
    return View.of(samples()[name], SHANGHAI, language=language)
