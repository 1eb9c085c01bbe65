"""Programs that talk to a network: a served home, a deployment, the demo."""
