-- The arithmetic of gcra.rs, on Redis's clock and atomic there. Answers the time and the
-- arrival times from before, of which gcra.rs makes the same decision again, with its words.
--
-- KEYS: one per limit; they share a hash tag, so that a cluster keeps them together.
-- ARGV: per limit the interval in microseconds, the quota, and the cost within it.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer, after, passes = { now }, {}, true

for i, key in ipairs(KEYS) do
  local interval, limit, cost = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local furthest = now + interval * limit
  local before = tonumber(redis.call('GET', key) or '0')
  answer[i + 1] = before
  after[i] = math.min(math.max(before, now), furthest) + interval * cost
  passes = passes and after[i] <= furthest
end

if passes then
  for i, key in ipairs(KEYS) do
    -- Gone when it is as good as new.
    local lifetime = math.ceil((after[i] - now) / 1000)
    redis.call('SET', key, string.format('%.0f', after[i]), 'PX', string.format('%.0f', lifetime))
  end
end
return answer
