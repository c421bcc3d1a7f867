"""Who enters, what is due, what ends a journey. Pure."""
