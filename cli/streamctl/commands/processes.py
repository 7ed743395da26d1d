"""``streamctl dispatcher`` and ``streamctl taskmanager``: processes of a cluster, in the foreground."""
