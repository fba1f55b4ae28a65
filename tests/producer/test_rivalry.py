import pytest

from tocsin_producer.rivalry import Rivalry, Standing, Verdict


def told(boot: int = 20) -> Rivalry:
    """Return a judge in a boot whose status the broker has."""
    rivalry = Rivalry(boot)
    rivalry.note_told()
    return rivalry


def look(rivalry: Rivalry, boot: int, *, online: bool = True) -> Verdict:
    return rivalry.judge(Standing(boot, online), retained=True)


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize(("boot", "verdict"), [(30, Verdict.SUPERSEDED), (10, Verdict.RIVAL)])
def test_a_status_of_another_boot_that_comes_back_after_ours_proves_another_producer(
    boot: int, verdict: Verdict, online: bool
) -> None:
    rivalry = told()
    assert look(rivalry, boot, online=online) is Verdict.NOTHING
    rivalry.note_told()
    assert look(rivalry, boot, online=online) is verdict


def test_the_late_will_of_another_boot_comes_once_and_proves_nothing() -> None:
    rivalry = told()
    look(rivalry, 10, online=False)
    rivalry.note_told()
    assert look(rivalry, 20) is Verdict.NOTHING
    rivalry.note_told()
    assert look(rivalry, 30, online=False) is Verdict.NOTHING


def test_what_is_found_again_although_ours_was_not_taken_meanwhile_proves_nothing() -> None:
    rivalry = told()
    assert [look(rivalry, 30) for _ in range(5)] == [Verdict.NOTHING] * 5


def test_our_own_will_is_no_rival() -> None:
    rivalry = told()
    for _ in range(5):
        assert look(rivalry, 20, online=False) is Verdict.NOTHING
        rivalry.note_told()


@pytest.mark.parametrize("boot", [20, 21, 4_000_000_000])
def test_what_an_earlier_producer_left_with_a_boot_that_is_not_earlier_outdates_ours(boot: int) -> None:
    assert look(Rivalry(20), boot, online=False) is Verdict.OUTDATED


def test_what_an_earlier_producer_left_with_an_earlier_boot_means_nothing() -> None:
    assert look(Rivalry(20), 19) is Verdict.NOTHING


@pytest.mark.parametrize(("boot", "verdict"), [(30, Verdict.SUPERSEDED), (10, Verdict.RIVAL)])
def test_another_boot_that_speaks_while_we_listen_proves_itself(boot: int, verdict: Verdict) -> None:
    assert told().judge(Standing(boot, online=True), retained=False) is verdict
    assert told().judge(Standing(boot, online=False), retained=False) is Verdict.NOTHING


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b"7",
        b"[" * 100_000,
        b'{"boot":1}',
        b'{"state":"online"}',
        b'{"boot":"1","state":"online"}',
        b'{"boot":true,"state":"online"}',
        b'{"boot":-1,"state":"online"}',
        b'{"boot":1.5,"state":"online"}',
        b'{"boot":9223372036854775807,"state":"online"}',
    ],
)
def test_what_is_no_status_says_nothing(payload: bytes) -> None:
    assert Standing.read(payload) is None


def test_a_status_tells_its_boot_and_whether_it_is_online() -> None:
    assert Standing.read(b'{"v":1,"boot":7,"state":"online","x":0}') == Standing(7, online=True)
    assert Standing.read(b'{"v":1,"boot":7,"state":"offline"}') == Standing(7, online=False)
