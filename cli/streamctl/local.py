"""The cluster that ``streamctl up`` started on this machine, as its state file tells."""
