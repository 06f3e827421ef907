"""Training: one loop (loop.py), a generator of steps. Everything else hangs on it.

A new method is a new objective, optimizer or schedule: one file and one line in its table, never a copied loop.
"""
