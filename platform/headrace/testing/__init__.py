"""What tests of jobs and connectors are made of; shipped, and used by the project's own tests.

stepped      jobs on the memory log, one lane step at a time: kills, failing commits, repeatable by a seed
connectors   the contract of PollingSource as tests to derive from
"""
