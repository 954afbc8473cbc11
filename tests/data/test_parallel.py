"""yolo.data.parallel: order, bounded look-ahead and errors of work in threads."""

import time
from itertools import count

import pytest

from yolo.data.parallel import CHUNK, CHUNKS_AHEAD, LEAST_THREADS, in_threads, usable_cores


def test_results_come_in_order_whichever_is_ready_first():
    def slow_first(number):
        time.sleep(0.02 if number == 0 else 0)
        return -number

    assert list(in_threads(slow_first, range(3 * CHUNK + 1))) == [-number for number in range(3 * CHUNK + 1)]
    assert list(in_threads(slow_first, [])) == []


def test_an_endless_source_is_read_only_a_little_ahead():
    taken = []
    source = (taken.append(number) or number for number in count())
    results = in_threads(abs, source)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    results.close()
    assert len(taken) <= CHUNK * (CHUNKS_AHEAD * max(LEAST_THREADS, usable_cores()) + 1)


def test_an_error_of_the_work_is_raised_in_its_place():
    results = in_threads(lambda number: 1 // (number - 40), range(100))
    with pytest.raises(ZeroDivisionError):
        list(results)
