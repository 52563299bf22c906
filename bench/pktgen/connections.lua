-- SPDX-License-Identifier: Apache-2.0
-- Connections opened a second: SYNs of ever new clients at rising rates. One that comes through is a
-- session that was set up. Nobody answers, so that sessions stay until their SYN timeout; each step has
-- clients of its own. Ends where more is lost than the bed tolerates.

package.path = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") .. "/?.lua;" .. package.path
local bed, traffic = require("bed"), require("traffic")

local SYN_BITS = (64 + 20) * 8  -- on the wire, with preamble and gap

local flows = traffic.flows(bed.clients, bed.source_ports, bed.buffers)

traffic.report("# connections: SYNs through full NAT, at most %d new flows a step", flows)
traffic.report("# %6s %14s %10s %10s %8s", "rate_%", "SYNs_a_s", "sent", "set_up", "loss_%")
for step, percent in ipairs(bed.ramp_percent) do
  local syns_a_s = percent / 100 * bed.line_rate_gbps * 1e9 / SYN_BITS
  traffic.use_range("tcp", traffic.address(bed.first_client, (step - 1) * bed.clients))
  traffic.set_syn()
  local trial = traffic.offer(percent, bed.ramp_step_s, math.min(flows, math.floor(syns_a_s * bed.ramp_step_s)))
  traffic.report("%8g %14.0f %10d %10d %8.3f", percent, syns_a_s, trial.sent, trial.received,
                 trial.loss_percent)
  if trial.loss_percent > bed.loss_tolerance_percent then break end
end
pktgen.quit()
