"""The trade pilot: what a traded tonne embeds, by published rules, from rows that stay with their members."""
