"""What one Email, one change, one dead letter becomes on NATS: subject, headers, payload, object keys.

Pure: values in, bytes and strings out. JSON of a server is taken as it comes: a value of the wrong type
counts as absent, and nothing of it raises; only an id that is none does, since subjects and keys are made
of ids.
"""
