-- SPDX-License-Identifier: Apache-2.0
-- What comes through by frame size when as much is offered as Pktgen can.

package.path = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") .. "/?.lua;" .. package.path
local bed, traffic = require("bed"), require("traffic")

traffic.use_range("udp", bed.first_client)
traffic.report("# full NAT of UDP, %d flows, offered at most", traffic.flows(bed.clients, bed.source_ports, bed.buffers))
traffic.report("# %10s %14s %14s %8s %8s", "frame_bytes", "offered_pps", "received_pps", "Gb/s", "loss_%")
for _, bytes in ipairs(bed.frame_bytes) do
  traffic.set_frame_bytes(bytes)
  traffic.warm_up()
  local trial = traffic.offer(100, bed.trial_s)
  local pps = trial.received / trial.seconds
  traffic.report("%12d %14.0f %14.0f %8.2f %8.3f", bytes, trial.sent / trial.seconds, pps,
                 pps * (bytes + 20) * 8 / 1e9, trial.loss_percent)
end
pktgen.quit()
