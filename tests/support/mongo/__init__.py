"""Stand-ins for what MongoDB builds of servers: a replica set, a router of a sharded cluster, a listener.

They have the topology and the answers of one, and no data: a real store behind them does all the work.
"""
