"""`veredus serve` as several processes: a parent that only looks after them, and workers that serve.

The parent binds the addresses, and every worker accepts from the same sockets: a worker may die or be
replaced, and no client is refused meanwhile. What a worker is to do it is told over a socket of its own,
so no secret stands on a command line; when the parent is gone that socket ends, and so does the worker.
"""
