"""Starts processes with CPython's forkserver, as `server.rs` orders on standard
input: a line each, and a line of answer.

starts N     N starts, one after another, each from making a Process to the first
             byte from it: their nanoseconds
heap N       has N bytes in memory, all written: "ok"
hold N       N idle processes that stay: their pids
release      they end: "ok"
"""

import multiprocessing
import sys
import time

context = multiprocessing.get_context("forkserver")


def byte(connection):
    connection.send_bytes(b".")


def idle(connection):
    connection.send_bytes(b".")
    try:
        connection.recv_bytes()
    except EOFError:
        pass


def start(function):
    """Starts one, and waits for its first byte."""
    connection, theirs = context.Pipe()
    process = context.Process(target=function, args=(theirs,))
    process.start()
    theirs.close()
    connection.recv_bytes()
    return process, connection


def end(process, connection):
    connection.close()
    process.join()


def timed_start():
    begun = time.monotonic_ns()
    started = start(byte)
    taken = time.monotonic_ns() - begun
    end(*started)
    return taken


def main():
    held = []
    ballast = None
    for order in sys.stdin:
        what, *count = order.split()
        count = int(count[0]) if count else 0
        answer = ["ok"]
        if what == "starts":
            answer = [timed_start() for _ in range(count)]
        elif what == "heap":
            ballast = None
            ballast = b"\1" * count
        elif what == "hold":
            held = [start(idle) for _ in range(count)]
            answer = [process.pid for process, _ in held]
        elif what == "release":
            for started in held:
                end(*started)
            held = []
        print(*answer, flush=True)


if __name__ == "__main__":
    main()
