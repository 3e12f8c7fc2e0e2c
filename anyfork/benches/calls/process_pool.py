"""Calls with CPython's ProcessPoolExecutor, whose workers the forkserver starts, as
`server.rs` orders on standard input: see `anyevent_fork.pl`. The callers are threads.
"""

import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor


def successor(number):
    return number + 1


def busy():
    """Keeps a worker until all have been given something."""
    time.sleep(0.2)
    return os.getpid()


def start(workers):
    context = multiprocessing.get_context("forkserver")
    executor = ProcessPoolExecutor(workers, mp_context=context)
    futures = [executor.submit(busy) for _ in range(workers)]
    return executor, [future.result() for future in futures]


def one_by_one(executor, nanos):
    times = []
    begun = first = time.monotonic_ns()
    while begun - first < nanos:
        assert executor.submit(successor, 7).result() == 8
        ended = time.monotonic_ns()
        times.append(ended - begun)
        begun = ended
    return times


def at_once(executor, callers, nanos):
    """Calls that were made, and the nanoseconds that they took."""
    made = [0] * callers
    begun = time.monotonic_ns()

    def caller(nth):
        made[nth] = len(one_by_one(executor, nanos))

    threads = [threading.Thread(target=caller, args=[nth]) for nth in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(made), time.monotonic_ns() - begun


def main():
    executor, pids = None, []
    for order in sys.stdin:
        what, count = order.split()
        count = int(count)
        answer = ["ok"]
        if what == "workers":
            executor, pids = start(count)
        elif what == "pids":
            answer = [os.getpid(), *pids]
        elif what == "calls":
            answer = one_by_one(executor, count)
        elif what.startswith("callers-"):
            answer = at_once(executor, int(what.removeprefix("callers-")), count)
        print(*answer, flush=True)
    executor.shutdown()


if __name__ == "__main__":
    main()
