import pytest

from trolleybus.readiness import PartStatus, Readiness


def test_a_check_that_raises_is_not_ready_and_says_why() -> None:
    def broken() -> PartStatus:
        raise OSError("no route")

    readiness = Readiness()
    readiness.add("kafka", broken)
    assert readiness.report() == {"kafka": PartStatus(ok=False, detail="its check failed: OSError: no route")}


def test_draining_makes_a_process_not_ready() -> None:
    readiness = Readiness()
    readiness.draining.set()
    assert not readiness.report()["process"].ok


def test_a_dead_loop_stays_not_ready() -> None:
    readiness = Readiness()
    readiness.add("consumer", lambda: PartStatus(ok=True))
    readiness.fail("consumer", "died")
    assert readiness.report()["consumer"] == PartStatus(ok=False, detail="died")
    assert readiness.failed.is_set()


def test_two_parts_of_one_name_are_a_mistake() -> None:
    readiness = Readiness()
    readiness.add("consumer", lambda: PartStatus(ok=True))
    with pytest.raises(ValueError, match="'consumer' is already watched"):
        readiness.add("consumer", lambda: PartStatus(ok=True))
