"""The agent beside Envoy: renders Envoy's configuration and answers what Envoy cannot."""
