"""What every part promises, as checks that say in words what is broken.

One copy for three readers: the tests run it over every table, `firsthand check` over a part from a file, and a
learner's part is judged by it too.
"""
