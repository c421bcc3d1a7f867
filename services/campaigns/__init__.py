"""Who is written to, when and with what words."""
