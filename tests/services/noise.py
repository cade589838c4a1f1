"""Prints in each way that Python code has, with a word of its own."""

import os
import subprocess
import sys

NOISE = "noise"


def shout(where: str) -> None:
    print(NOISE, where, "print")  # noqa: T201 - one of the ways
    print(NOISE, where, "buffered", end=" ")  # noqa: T201 - as above
    sys.stdout.write(f"{NOISE} {where} stdout\n")
    assert sys.__stdout__
    sys.__stdout__.write(f"{NOISE} {where} __stdout__\n")
    os.write(1, f"{NOISE} {where} descriptor\n".encode())
    subprocess.run(["echo", NOISE, where, "child"], check=True)
