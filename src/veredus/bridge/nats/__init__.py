"""What the bridge does with NATS JetStream. Knows no JMAP; no exception of nats-py leaves this folder."""
