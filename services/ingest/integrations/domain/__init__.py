"""What an integration is, without any I/O."""
