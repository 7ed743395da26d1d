"""Lua scripts of the Redis store: each is one compare-and-write that must be one step."""

from __future__ import annotations

#: KEYS job, jobs; ARGV epoch, record JSON, submitted_ms, job id
PUT_RECORD = """
local stored = redis.call('HGET', KEYS[1], 'epoch')
if stored and tonumber(stored) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'record', ARGV[2])
redis.call('ZADD', KEYS[2], 'NX', ARGV[3], ARGV[4])
return 1
"""

#: KEYS taskmanager, taskmanagers; ARGV id, instance, replaced instance, record JSON, ttl_ms
PUT_TASKMANAGER = """
local stored = redis.call('GET', KEYS[1])
if stored then
  local ok, record = pcall(cjson.decode, stored)
  if ok and record.instance ~= ARGV[2] and record.instance ~= ARGV[3] then return 0 end
end
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
redis.call('SADD', KEYS[2], ARGV[1])
return 1
"""

#: KEYS taskmanager, taskmanagers; ARGV id, instance
REMOVE_TASKMANAGER = """
local stored = redis.call('GET', KEYS[1])
if not stored then return 0 end
local ok, record = pcall(cjson.decode, stored)
if ok and record.instance ~= ARGV[2] then return 0 end
redis.call('SREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
"""

#: KEYS lease; ARGV holder, ttl_ms. A value that never expires was put there by a stranger, and is no lease.
ACQUIRE = """
local stored = redis.call('GET', KEYS[1])
if stored and stored ~= ARGV[1] and redis.call('PTTL', KEYS[1]) ~= -1 then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

#: KEYS lease; ARGV holder
RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

#: KEYS declarations, wake; ARGV job id, epoch, declaration JSON, wake text
DECLARE = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored == ARGV[3] then return 1 end
if stored then
  local ok, value = pcall(cjson.decode, stored)
  if ok and value.epoch > tonumber(ARGV[2]) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('PUBLISH', KEYS[2], ARGV[4])
return 1
"""

#: KEYS declarations, grants, wake; ARGV job id, epoch, wake text
WITHDRAW = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  local ok, value = pcall(cjson.decode, stored)
  if ok and value.epoch > tonumber(ARGV[2]) then return 0 end
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('PUBLISH', KEYS[3], ARGV[3])
return 1
"""

#: KEYS lease, grants, wake; ARGV leader, wake text, n, n x (job id, grants JSON), jobs to remove
GRANT = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local n = tonumber(ARGV[3])
for i = 1, n do redis.call('HSET', KEYS[2], ARGV[2 + 2 * i], ARGV[3 + 2 * i]) end
for i = 4 + 2 * n, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
redis.call('PUBLISH', KEYS[3], ARGV[2])
return 1
"""
