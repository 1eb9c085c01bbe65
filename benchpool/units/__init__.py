"""The three units of an AO network, and its cron."""
