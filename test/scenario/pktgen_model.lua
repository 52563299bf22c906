-- SPDX-License-Identifier: Apache-2.0
-- A Pktgen with a box behind it that passes so many packets a second and loses the rest:
-- lua5.3 pktgen_model.lua SCRIPT CAPACITY_PPS. Whatever else a script calls is an error.

local script, capacity_pps = arg[1], tonumber(arg[2])
local LINE_BITS_A_S = 10e9

local frame_bytes, rate_percent, count, sending, mode = 64, 100, 0, false, "single"
local sequence, commands = {}, {}
local sent, received = 0, 0

local function mean_frame_bytes()
  if mode ~= "sequence" then return frame_bytes end
  local total = 0
  for index = 0, #sequence do total = total + sequence[index] end
  return total / (#sequence + 1)
end

local function only(value, allowed)
  assert(value == allowed, "'" .. tostring(value) .. "', not '" .. allowed .. "'")
end

local function ignore() end

local range_fields = {}
for _, name in ipairs({"dst_mac", "src_mac", "dst_ip", "src_ip", "dst_port", "src_port"}) do
  range_fields[name] = function(port, what, value)
    only(port, "0")
    assert(({start = 1, min = 1, max = 1, inc = 1})[what], what)
    assert(value ~= nil)
  end
end
range_fields.pkt_size = function(_, what, value) if what == "start" then frame_bytes = value end end
range_fields.ip_proto = ignore

pktgen = {
  range = range_fields,
  reset = function() frame_bytes, rate_percent, count, mode, sequence = 64, 100, 0, "single", {} end,
  screen = ignore,
  set_range = function(port, state) only(port, "0") only(state, "on") mode = "range" end,
  set = function(port, what, value)
    only(port, "0")
    if what == "rate" then rate_percent = value
    elseif what == "count" then count = value
    elseif what == "seq_cnt" then mode = "sequence"
    else error("set " .. what) end
  end,
  load = function(path)
    for line in io.lines(path) do
      commands[#commands + 1] = line
      local index, bytes = line:match("^sequence (%d+) 0 .* ipv4 udp 1 (%d+)$")
      if index then sequence[tonumber(index)] = tonumber(bytes) end
    end
  end,
  start = function(port) only(port, "0") sending = true end,
  stop = function(port) only(port, "0") sending = false end,
  delay = function(ms)
    if not sending then return end
    local line_pps = LINE_BITS_A_S / ((mean_frame_bytes() + 20) * 8)
    local offered_pps = line_pps * rate_percent / 100
    local frames = math.floor(offered_pps * ms / 1000)
    if count > 0 then frames = math.min(frames, count) end
    sent = sent + frames
    received = received + math.floor(frames * math.min(1, capacity_pps / offered_pps))
  end,
  portStats = function(ports, kind)
    only(ports, "0,1")
    only(kind, "port")
    return {[0] = {opackets = sent, ipackets = 0}, [1] = {opackets = 0, ipackets = received}}
  end,
  quit = ignore,
}

dofile(script)
for _, command in ipairs(commands) do print("> " .. command) end
