# SPDX-License-Identifier: Apache-2.0
"""One long-running program: started, watched, ended, its output kept in a file."""

import signal
import subprocess

from .shell import TimedOut, wait_until

STOP_TIMEOUT_S = 10
LOG_TAIL_LINES = 40


class ProgramDied(Exception):
    """The program ended while it was needed; the end of its log is in the message."""


class Program:
    """A program that runs until stopped. Output goes to log_path, appended over restarts."""

    def __init__(self, name, argv, log_path, takes_input=False):
        self.name = name
        self.argv = [str(word) for word in argv]
        self.log_path = log_path
        self._input = subprocess.PIPE if takes_input else subprocess.DEVNULL
        self._process = None

    @property
    def pid(self):
        return self._process.pid if self._process else None

    @property
    def exit_status(self):
        """None before the start and while it runs."""
        return self._process.poll() if self._process else None

    @property
    def running(self):
        return self.pid is not None and self.exit_status is None

    @property
    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def start(self):
        assert not self.running, f"{self.name} runs already"
        with open(self.log_path, "ab") as log:
            # A session of its own: Ctrl-C in the terminal reaches only us, and we end it in order.
            self._process = subprocess.Popen(self.argv, stdin=self._input, stdout=log, stderr=log,
                                             start_new_session=True)
        return self

    def write(self, text):
        """To its standard input, if it takes any."""
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def wait_until(self, condition, what, timeout_s=10):
        """Like shell.wait_until, but also fails at once when the program ends."""

        def alive_and_condition():
            if not self.running:
                raise ProgramDied(f"{self.name} ended with {self.exit_status} before: "
                                  f"{what}\n{' '.join(self.argv)}\n{self.log_tail()}")
            return condition()

        try:
            return wait_until(alive_and_condition, what, timeout_s)
        except TimedOut as error:
            raise TimedOut(f"{error}\n{self.name} says:\n{self.log_tail()}") from None

    def log_tail(self):
        return "\n".join(self.log.splitlines()[-LOG_TAIL_LINES:])

    def signal(self, number):
        self._process.send_signal(number)

    def wait(self, timeout_s):
        """Waits for the program to end by itself; returns its exit status."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{self.name} still runs after {timeout_s} s\n"
                           f"{self.log_tail()}") from None

    def kill(self):
        """Ends it as a crash would: no clean-up of its own."""
        if self.running:
            self.signal(signal.SIGKILL)
            self.wait(STOP_TIMEOUT_S)

    def stop(self):
        """Asks it to end, and makes sure. Returns its exit status, or None if it did not run."""
        if not self.running:
            return None
        self.signal(signal.SIGTERM)
        try:
            return self.wait(STOP_TIMEOUT_S)
        except TimedOut:
            self.kill()
            raise TimedOut(f"{self.name} did not end within {STOP_TIMEOUT_S} s of SIGTERM\n"
                           f"{self.log_tail()}") from None
