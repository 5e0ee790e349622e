"""The wall-clock abuse cases: hostile and broken peers against a real server, with bars.

Run by `make abuse`. The server has core 0; whoever attacks it has core 1.
"""
