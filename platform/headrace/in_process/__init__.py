"""``python job.py``: the whole job in this process, no control plane.

    executor   what env.execute() finds: builds the lanes, waits for them, says how it ended
    logs       where records go between lanes: memory, or the program's own Kafka when it reads or writes topics
    terminal   print of user code, and errors as one line instead of a traceback

The lanes are the ones that slot workers run; nothing restarts them here: the first failure ends the job.
"""
