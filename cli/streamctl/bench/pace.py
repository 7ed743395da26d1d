"""Load at an even rate, in a process of its own: records with an id, a user, an amount and their send time.

python -m streamctl.bench.pace BOOTSTRAP TOPIC PARTITIONS RATE SECONDS [USERS [FIRST]]
"""

from __future__ import annotations

import sys
import time

from confluent_kafka import Producer

TICK_S = 0.005
USERS = 1000


def amount(number: int) -> int:
    """What record ``number`` carries."""
    return 1 + number % 7


def pace(
    bootstrap: str, topic: str, partitions: int, rate: int, seconds: float, users: int = USERS, first: int = 0
) -> int:
    """Produce; how many records were sent. Ids go on from ``first``; ``at`` is the send time in ms."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1, "acks": 1, "log_level": 0})
    sent = 0
    began_s = time.monotonic()
    while (now_s := time.monotonic()) - began_s < seconds:
        due = int((now_s - began_s) * rate)
        at = time.time_ns() / 1e6
        for n in range(first + sent, first + due):
            value = b'{"id":%d,"user":"user%04d","amount":%d,"at":%.3f}' % (n, n % users, amount(n), at)
            while True:
                try:
                    producer.produce(topic, value, partition=n % partitions)
                    break
                except BufferError:
                    producer.poll(TICK_S)  # the broker is behind: what is late counts as latency
        sent = max(sent, due)
        producer.poll(0)
        time.sleep(TICK_S)  # the pace itself, not a wait for something
    producer.flush(30)
    return sent


if __name__ == "__main__":
    _, bootstrap, topic, partitions, rate, seconds, *more = sys.argv
    print(pace(bootstrap, topic, int(partitions), int(rate), float(seconds), *map(int, more)))
