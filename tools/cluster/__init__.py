"""``make cluster``: PostgreSQL, S3, NATS and three nodes behind haproxy, all on one machine.

The servers that it starts are for tests, too: ``tests/e2e`` and the contract tests import them from here.
"""
