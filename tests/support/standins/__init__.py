"""Servers that stand in for others on the loopback interface: a directory of accounts, a robotic facility."""
