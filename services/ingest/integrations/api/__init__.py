"""/api/v1/integrations."""
