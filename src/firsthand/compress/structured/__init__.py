"""Smaller tensors: fewer channels, heads, layers or numbers in the stream. What is left is an ordinary model.

Zeros save bytes; a smaller tensor saves time as well. Where a map reads fewer numbers than before, the others take
over what they can of what is gone: least squares on the calibration text (least_squares.py).
"""
