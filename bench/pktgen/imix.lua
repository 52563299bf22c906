-- SPDX-License-Identifier: Apache-2.0
-- What comes through of frames of mixed sizes, by offered rate.

package.path = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") .. "/?.lua;" .. package.path
local bed, traffic = require("bed"), require("traffic")

local RATES_PERCENT = {10, 25, 50, 75, 100}

traffic.use_imix("udp")
traffic.report("# IMIX: full NAT of UDP, frames of %s bytes", table.concat(traffic.interleave(bed.imix), " "))
traffic.report("# %6s %14s %14s %8s", "rate_%", "offered_pps", "received_pps", "loss_%")
traffic.warm_up()
for _, percent in ipairs(RATES_PERCENT) do
  local trial = traffic.offer(percent, bed.trial_s)
  traffic.report("%8g %14.0f %14.0f %8.3f", percent, trial.sent / trial.seconds,
                 trial.received / trial.seconds, trial.loss_percent)
end
pktgen.quit()
