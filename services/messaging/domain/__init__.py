"""What the send gate decides: pure, time is an argument."""
