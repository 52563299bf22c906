-- SPDX-License-Identifier: Apache-2.0
-- The test bed: change this to yours. Or leave it and name a file of your own, which returns a table with
-- the keys that differ, in the environment variable STEELYARD_BED.

local bed = {
  client_port = 0, backend_port = 1,    -- of Pktgen: wired to the box's ports 0 and 1
  box_mac = "02:00:00:00:00:01",        -- of the box's port 0 (the MAC of its interface steel0)
  client_mac = "02:00:00:00:01:01",     -- of the gateway that the box knows to be before all clients

  vip = "10.0.1.10", vip_port = 80,     -- as in services.yaml
  -- A flow is a client's address and source port. Both go on with every frame, so that there are as many
  -- flows as their least common multiple, about a million here. But Pktgen makes its frames when it begins,
  -- one in each buffer, and sends those again and again: no more flows than it has buffers.
  first_client = "10.64.0.1", clients = 1024,
  first_source_port = 10000, source_ports = 977,
  buffers = 24576,                      -- of all its queues; MAX_MBUFS_PER_PORT (a queue) in its sources
  line_rate_gbps = 10,                  -- of the clients' port: what rates in percent are of

  frame_bytes = {64, 128, 256, 512, 1024, 1280, 1518},  -- with the frame check sequence
  imix = {{64, 7}, {594, 4}, {1518, 1}},                -- frame bytes and how many of them, at most 16 in all
  trial_s = 60,                         -- RFC 2544 section 24
  warm_up_s = 10,                       -- before the trials of each size: opens the sessions
  warm_up_percent = 10,
  settle_s = 2,                         -- after a trial (RFC 2544 section 23)
  loss_tolerance_percent = 0,
  resolution_percent = 0.5,             -- of the line rate, to which the search narrows

  ramp_percent = {0.1, 0.2, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100},  -- of the line rate, of SYNs
  ramp_step_s = 5,                      -- or until every buffer's SYN was sent

  results = "pktgen-results.txt",       -- appended to; also printed
}

local own = os.getenv("STEELYARD_BED")
if own then
  for key, value in pairs(dofile(own)) do
    assert(bed[key] ~= nil, own .. ": there is no " .. tostring(key) .. " in bed.lua")
    bed[key] = value
  end
end
return bed
