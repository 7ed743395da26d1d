"""Holds a lock in a function that has to travel to another process."""

import threading

from headrace.datastream import StreamExecutionEnvironment


def counting():
    guard = threading.Lock()

    def count(number):
        with guard:
            return number + 1

    return count


env = StreamExecutionEnvironment.get_execution_environment()
env.from_collection([1, 2, 3]).map(counting()).print()
env.execute("unpicklable")
