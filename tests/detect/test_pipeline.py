"""yolo.detect.pipeline: order, bounds, errors and ends of work in threads."""

import threading
import time
from contextlib import closing

import pytest

from yolo.detect.pipeline import Behind, ahead, in_flight, newest

SOON = 5.0  # seconds that no test takes unless it hangs


def test_ahead_keeps_the_order_and_computes_in_another_thread():
    threads = set()

    def items():
        for number in range(20):
            threads.add(threading.current_thread())
            yield number

    assert list(ahead(items(), 4, threading.Event())) == list(range(20))
    assert threading.current_thread() not in threads and len(threads) == 1


def test_ahead_is_never_more_than_its_size_ahead():
    made = []
    items = (made.append(number) or number for number in range(100))
    with closing(ahead(items, 3, threading.Event())) as numbers:
        next(numbers)
        time.sleep(0.1)
        assert len(made) <= 1 + 3


def test_an_error_ahead_is_raised_in_its_place():
    def items():
        yield 1
        raise OSError("away")

    numbers = ahead(items(), 4, threading.Event())
    assert next(numbers) == 1
    with pytest.raises(OSError, match="away"):
        next(numbers)


def test_ending_early_sets_stop_and_closes_the_items():
    closed, stop = [], threading.Event()

    def items():
        try:
            while not stop.is_set():
                yield 1
                stop.wait(0.01)
        finally:
            closed.append(True)

    with closing(ahead(items(), 2, stop)) as numbers:
        next(numbers)
    assert stop.is_set() and closed == [True]


def test_newest_leaves_out_what_was_overtaken_but_not_the_last():
    made = threading.Event()

    def items(over):
        yield from range(10)
        made.set()

    numbers = newest(items, threading.Event())
    first = next(numbers)
    assert made.wait(SOON)
    rest = list(numbers)
    assert [first, *rest][-1] == 9 and len(rest) <= 2


def test_newest_raises_the_sources_error_after_its_frames():
    def items(over):
        yield 1
        raise OSError("broken off")

    numbers = newest(items, threading.Event())
    assert next(numbers) == 1
    with pytest.raises(OSError, match="broken off"):
        next(numbers)


@pytest.mark.parametrize("by_stop", [True, False])
def test_newest_ends_a_source_that_waits(by_stop):
    ended, stop = threading.Event(), threading.Event()

    def items(over):
        yield 1
        assert over.wait(SOON)
        ended.set()

    with closing(newest(items, stop)) as numbers:
        next(numbers)
        if by_stop:
            stop.set()
            assert list(numbers) == []
    assert ended.is_set()


def test_behind_works_in_order_in_one_other_thread():
    done, threads = [], set()

    def work(item):
        threads.add(threading.current_thread())
        done.append(item)

    with closing(Behind(work, 3)) as behind:
        for number in range(20):
            behind.put(number)
        behind.finish()
    assert done == list(range(20))
    assert threading.current_thread() not in threads and len(threads) == 1


def test_behind_waits_when_too_much_is_waiting():
    go = threading.Event()
    with closing(Behind(lambda _: go.wait(SOON), 2)) as behind:
        behind.put(1)
        behind.put(2)
        third = threading.Thread(target=behind.put, args=(3,))
        third.start()
        third.join(0.1)
        assert third.is_alive()
        go.set()
        third.join(SOON)
        assert not third.is_alive()
        behind.finish()


def test_an_error_behind_is_raised_by_put_or_finish():
    def work(_):
        raise OSError("disk full")

    with closing(Behind(work, 1)) as behind:
        behind.put(1)
        with pytest.raises(OSError, match="disk full"):
            behind.put(2)
    with closing(Behind(work, 1)) as behind:
        behind.put(1)
        with pytest.raises(OSError, match="disk full"):
            behind.finish()


def test_in_flight_keeps_the_order_and_works_in_several_threads_at_once():
    together, begun = threading.Barrier(3, timeout=SOON), []

    def work(number):
        if number < 3:
            together.wait()  # passes only if three are at work at the same time
        time.sleep(0.01 * (number % 3))
        return -number

    found = in_flight(range(12), work, 3, lambda: begun.append(threading.current_thread()))
    assert list(found) == [-number for number in range(12)]
    assert len(begun) == 3


def test_in_flight_takes_few_items_ahead_and_raises_an_error_in_its_place():
    taken = []

    def work(number):
        if number == 2:
            raise OSError("away")
        return number

    found = in_flight((taken.append(number) or number for number in range(100)), work, 2)
    assert [next(found), next(found)] == [0, 1] and len(taken) <= 6
    with pytest.raises(OSError, match="away"):
        next(found)
