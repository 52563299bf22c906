# SPDX-License-Identifier: Apache-2.0
"""Commands and waits, both always bounded."""

import subprocess
import time

COMMAND_TIMEOUT_S = 60
POLL_INTERVAL_S = 0.02


class CommandFailed(Exception):
    """A command ended with another status than 0; its output is in the message."""


class TimedOut(Exception):
    """What was waited for did not come."""


def run(argv, check=True, timeout_s=COMMAND_TIMEOUT_S, stdin=None):
    """Runs argv to its end and returns the CompletedProcess, with text in stdout and stderr."""
    argv = [str(word) for word in argv]
    try:
        result = subprocess.run(argv, input=stdin, capture_output=True, text=True,
                                timeout=timeout_s, check=False,
                                stdin=subprocess.DEVNULL if stdin is None else None)
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"{' '.join(argv)}: still running after {timeout_s} s\n"
                       f"{_text(error.stdout)}{_text(error.stderr)}") from None
    if check and result.returncode != 0:
        raise CommandFailed(f"{' '.join(argv)}: exit status {result.returncode}\n"
                            f"{result.stdout}{result.stderr}")
    return result


def wait_until(condition, what, timeout_s=10, interval_s=POLL_INTERVAL_S):
    """Polls condition() until it returns something true, which is returned.

    what names the awaited thing in TimedOut's message; it may be a function, called only then.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimedOut(f"not within {timeout_s} s: {what() if callable(what) else what}")
        time.sleep(interval_s)


def _text(output):
    if output is None:
        return ""
    return output.decode(errors="replace") if isinstance(output, bytes) else output
