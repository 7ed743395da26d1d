"""Measurements that print one JSON object each: throughput per core with the results checked exactly."""
