#!/usr/bin/env python3
"""Answers a POST with what was posted, as it comes; and everything else with what the server tells a script."""

import os
import sys


def main():
    if os.environ["REQUEST_METHOD"] == "POST":
        header(os.environ.get("CONTENT_TYPE", "application/octet-stream"))
        echo(int(os.environ["CONTENT_LENGTH"]))
    else:
        header("text/plain; charset=utf-8")
        for name, value in sorted(os.environ.items()):
            print(f"{name}={value}")


def header(content_type):
    print(f"Content-Type: {content_type}\n", flush=True)


def echo(left):
    # `read1` gives what is there, and does not wait until it is a lot.
    while piece := sys.stdin.buffer.read1(min(left, 65536)):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        left -= len(piece)


main()
