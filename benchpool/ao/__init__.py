"""What AO's protocol defines: ids, tags, messages, data items, wallets, the wire."""
