"""The demo: a year of real flights through a cluster of its own, a worker killed, every row compared."""
