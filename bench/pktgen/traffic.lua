-- SPDX-License-Identifier: Apache-2.0
-- What the clients' port sends, and trials of it. The rest of the folder speaks to Pktgen through this.

local bed = require("bed")

local traffic = {}

local client_port, backend_port = tostring(bed.client_port), tostring(bed.backend_port)
local both_ports = client_port .. "," .. backend_port

local function ipv4_number(text)
  local a, b, c, d = text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  assert(a, "'" .. text .. "' is no IPv4 address")
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function ipv4_text(number)
  return string.format("%d.%d.%d.%d", number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255)
end

-- The address `offset` after another.
function traffic.address(first, offset)
  return ipv4_text(math.tointeger(ipv4_number(first)) + offset)
end

-- Values of a range: it starts at the first and goes on by `step`.
local function set_range(field, first, last, step)
  field(client_port, "start", first)
  field(client_port, "min", first)
  field(client_port, "max", last)
  field(client_port, "inc", step)
end

local function greatest_common_divisor(a, b)
  while b ~= 0 do a, b = b, a % b end
  return a
end

-- How many flows a range makes whose addresses and source ports both go on with every frame, if Pktgen has
-- so many buffers to make them in.
function traffic.flows(clients, source_ports, buffers)
  return math.min(buffers, clients * source_ports // greatest_common_divisor(clients, source_ports))
end

-- Commands of Pktgen's prompt, for what its Lua has not (TCP flags) or does wrong: 23.03's seqTable takes
-- the number of the frame for the port.
local function command(...)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(table.concat({...}, "\n"), "\n")
  file:close()
  pktgen.load(path)
  os.remove(path)
end

local function reset()
  pktgen.reset(both_ports)
  pktgen.screen("off")
end

-- Frames of ever other flows to the VIP. first_client: the lowest address.
function traffic.use_range(protocol, first_client)
  local range = pktgen.range
  reset()
  set_range(range.dst_mac, bed.box_mac, bed.box_mac, "00:00:00:00:00:00")
  set_range(range.src_mac, bed.client_mac, bed.client_mac, "00:00:00:00:00:00")
  set_range(range.dst_ip, bed.vip, bed.vip, "0.0.0.0")
  set_range(range.src_ip, first_client, traffic.address(first_client, bed.clients - 1), "0.0.0.1")
  set_range(range.dst_port, bed.vip_port, bed.vip_port, 0)
  set_range(range.src_port, bed.first_source_port, bed.first_source_port + bed.source_ports - 1, 1)
  range.ip_proto(client_port, protocol)
  pktgen.set_range(client_port, "on")
  traffic.set_frame_bytes(64)
end

-- Frames of a range are SYNs.
function traffic.set_syn()
  command("range " .. client_port .. " tcp flag clr ack", "range " .. client_port .. " tcp flag set syn")
end

-- Of a range.
function traffic.set_frame_bytes(bytes)
  set_range(pktgen.range.pkt_size, bytes, bytes, 0)
end

-- Spreads sizes evenly: {{64, 7}, {594, 4}} becomes 64 594 64 64 594 64 ...
function traffic.interleave(sizes)
  local total, given, order = 0, {}, {}
  for index, size in ipairs(sizes) do total, given[index] = total + size[2], 0 end
  for place = 1, total do
    local due
    for index, size in ipairs(sizes) do
      local owed = size[2] * place / total - given[index]
      if not due or owed > due.owed then due = {index = index, owed = owed} end
    end
    given[due.index] = given[due.index] + 1
    order[place] = sizes[due.index][1]
  end
  return order
end

-- Frames of mixed sizes; Pktgen repeats a sequence of at most 16, so that there are as many flows.
function traffic.use_imix(protocol)
  reset()
  local order = traffic.interleave(bed.imix)
  assert(#order <= 16, "bed.lua: imix has more than Pktgen's 16 frames")
  local commands = {}
  for index, bytes in ipairs(order) do
    commands[index] = string.format(
      "sequence %d %s %s %s %s %s/32 %d %d ipv4 %s 1 %d", index - 1, client_port, bed.box_mac, bed.client_mac,
      bed.vip, traffic.address(bed.first_client, index - 1), bed.first_source_port, bed.vip_port, protocol, bytes)
  end
  pktgen.set(client_port, "seq_cnt", #order)
  command(table.unpack(commands))
end

local function counted()
  local stats = pktgen.portStats(both_ports, "port")
  return stats[bed.client_port].opackets, stats[bed.backend_port].ipackets
end

-- Offers frames for a while and waits for the last; returns how many were sent, how many came through to
-- the backends' port, and the loss in percent. frames: no more than so many, if given.
function traffic.offer(percent, seconds, frames)
  local sent_before, received_before = counted()
  pktgen.set(client_port, "rate", percent)
  pktgen.set(client_port, "count", frames or 0)
  pktgen.start(client_port)
  pktgen.delay(math.floor(seconds * 1000))
  pktgen.stop(client_port)
  pktgen.delay(math.floor(bed.settle_s * 1000))
  local sent, received = counted()
  local trial = {sent = sent - sent_before, received = received - received_before, seconds = seconds}
  assert(trial.sent > 0, "Pktgen sent nothing: is the link up?")
  trial.loss_percent = math.max(0, 100 * (trial.sent - trial.received) / trial.sent)
  return trial
end

function traffic.warm_up()
  traffic.offer(bed.warm_up_percent, bed.warm_up_s)
end

-- A line of the results.
function traffic.report(format, ...)
  local line = string.format(format, ...)
  print(line)
  local file = assert(io.open(bed.results, "a"))
  file:write(line, "\n")
  file:close()
end

return traffic
