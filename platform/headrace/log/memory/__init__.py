"""Kafka's log in one process, honest about transactions: for tests, simulation and in-process runs.

It keeps to Kafka where a lane can tell the difference: epochs that fence, an outcome that is decided before
its markers are written, markers that take an offset, readers held at the last stable offset, transactions
that time out, deleted records. It has one node, no replication, no durability, no groups with members.
"""

from headrace.log.memory.broker import MemoryBroker
from headrace.log.memory.faults import CommitFault, Faults
from headrace.log.memory.time import RealTime, Time, VirtualTime

__all__ = ["CommitFault", "Faults", "MemoryBroker", "RealTime", "Time", "VirtualTime"]
