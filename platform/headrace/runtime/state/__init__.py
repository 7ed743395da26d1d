"""Keyed state of one lane: tables, what users see of them, and how they reach the lane log and come back.

    tables     two-level tables with undo: the truth of a lane between two commits
    changes    a commit's changes and snapshot chunks as TableChange, and back
    snapshot   the cursor of a fuzzy snapshot
    isolation  private copies of mutable values
    keyed      ValueState, ListState, MapState, ReducingState, AggregatingState over the tables
    due        which namespaces (timers, windows) are due, derived from a table

The name of a table tells where its key is, for whoever redistributes state by key group:

    <uid>/value/<name>      namespace ""                 key: state key
    <uid>/list/<name>       namespace: state key         key: index from 0
    <uid>/map/<name>        namespace: state key         key: the user's map key
    <uid>/timers            namespace: timestamp in ms   key: state key
    <uid>/window            namespace: window start      key: state key    value: accumulator, None for lists
    <uid>/window-elements   namespace: (start, state key)  key: index from 0
    <uid>/window-due        namespace: window start      key: state key
    <uid>/window-value/<name>, window-list, window-map     as value, list, map with (start, state key) for the key
    /event-time             not keyed: how far this lane's event time has come
"""
