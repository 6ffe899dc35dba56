"""Peers: what else makes the same model small and fast on a CPU, measured beside Bigfoot's own variants of it.

known.py says which peers there are and how each is made and run, measure.py lets all of them take turns on the same
audio, table.py shows what came of it. Nothing here decides anything: no peer becomes champion, and no stage reads it.
"""
