"""A job's lane metrics from the registry, as they stand after its end."""

from __future__ import annotations

import redis

from headrace.embedded.cluster import Addresses
from headrace.protocol.control import LaneMetrics
from headrace.protocol.redis_keys import RedisKeys


def last_metrics(addresses: Addresses, job_id: str) -> dict[str, LaneMetrics]:
    """Lane name to the last metrics its TaskManager wrote down."""
    with redis.Redis.from_url(addresses.redis, decode_responses=True) as client:
        stored: dict[str, str] = client.hgetall(RedisKeys(addresses.namespace).lanes(job_id))
    return {lane: LaneMetrics.model_validate_json(each) for lane, each in stored.items()}
