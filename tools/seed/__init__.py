"""A store with a past: customers, a catalogue, carts and 30 days of campaigns, as imported records."""
