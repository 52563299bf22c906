-- SPDX-License-Identifier: Apache-2.0
-- RFC 2544 section 26.1: the highest rate, by frame size, of which no more is lost than the bed tolerates.

package.path = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") .. "/?.lua;" .. package.path
local bed, search, traffic = require("bed"), require("search"), require("traffic")

local function highest_rate(bytes)
  local best
  traffic.set_frame_bytes(bytes)
  traffic.warm_up()
  local rate = search.highest(function(percent)
    local trial = traffic.offer(percent, bed.trial_s)
    local passed = trial.loss_percent <= bed.loss_tolerance_percent
    print(string.format("%d bytes at %.2f%%: lost %d of %d", bytes, percent,
                        trial.sent - trial.received, trial.sent))
    if passed then best = trial end
    return passed
  end, bed.resolution_percent)
  return rate, best
end

traffic.use_range("udp", bed.first_client)
traffic.report("# RFC 2544 throughput: full NAT of UDP, %d flows, trials of %g s, %g%% may be lost",
               traffic.flows(bed.clients, bed.source_ports, bed.buffers), bed.trial_s, bed.loss_tolerance_percent)
traffic.report("# %10s %8s %14s %8s", "frame_bytes", "rate_%", "pps", "Gb/s")
for _, bytes in ipairs(bed.frame_bytes) do
  local rate, trial = highest_rate(bytes)
  if rate then
    local pps = trial.received / trial.seconds
    traffic.report("%12d %8.2f %14.0f %8.2f", bytes, rate, pps, pps * (bytes + 20) * 8 / 1e9)
  else
    traffic.report("%12d none that passed", bytes)
  end
end
pktgen.quit()
