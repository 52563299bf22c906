# SPDX-License-Identifier: Apache-2.0
"""One long-running program in the guest."""

import shlex

from topology.process import Program
from topology.shell import CommandFailed, TimedOut, wait_until


class GuestProgram(Program):
    """A Program whose process, arguments and log are the guest's."""

    def __init__(self, name, guest, argv, log_path):
        super().__init__(name, argv, log_path)
        self._guest = guest
        self._pid_file = f"{log_path}.pid"
        self._status_file = f"{log_path}.status"
        self._pid = None
        self._exit_status = None

    @property
    def pid(self):
        return self._pid

    @property
    def exit_status(self):
        if self._pid is not None and self._exit_status is None:
            text = self._guest.run(["cat", self._status_file], check=False).stdout
            self._exit_status = int(text) if text else None
        return self._exit_status

    @property
    def log(self):
        try:
            return self._guest.run(["cat", self.log_path], check=False).stdout
        except (CommandFailed, OSError, TimedOut) as error:
            return f"the guest does not answer: {error}"

    def start(self):
        assert not self.running, f"{self.name} runs already"
        script = (f"rm -f {self._pid_file} {self._status_file}\n"
                  f"( {shlex.join(self.argv)} >>{self.log_path} 2>&1 & echo $! >{self._pid_file}\n"
                  f"  wait $!; echo $? >{self._status_file} ) &\n"
                  f"while [ ! -s {self._pid_file} ]; do usleep 1000; done; cat {self._pid_file}\n")
        self._exit_status = None
        self._pid = int(self._guest.run_script(script).stdout)
        return self

    def signal(self, number):
        self._guest.run(["kill", f"-{int(number)}", self._pid])

    def wait(self, timeout_s):
        # The status of the shell that waited: 128 and the signal's number.
        wait_until(lambda: self.exit_status is not None, f"{self.name} ends", timeout_s)
        return self._exit_status
