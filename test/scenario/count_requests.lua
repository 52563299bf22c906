-- SPDX-License-Identifier: Apache-2.0
--
-- wrk stops by time; this ends it after a number of responses: wrk ... -t1 -- NUMBER.
-- Prints one line of JSON at the end: responses and every kind of error that wrk knows.

-- The main thread sleeps for the whole duration unless a signal comes; one that comes right before
-- it falls asleep is lost, and one during os.execute is ignored, so they come until wrk has ended.
local END_WRK = "(for i in $(seq 100); do kill -INT $PPID || break; sleep 0.05; done) "
  .. ">/dev/null 2>&1 &"

local wanted
local responses = 0

function init(arguments)
  wanted = tonumber(arguments[1])
end

function response()
  responses = responses + 1
  if responses == wanted then
    wrk.thread:stop()
    os.execute(END_WRK)
  end
end

function done(summary)
  local errors = summary.errors
  io.write(string.format(
    '{"responses": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
