"""Analytics: projections of the log into fact tables, the figures drawn from them, and the dashboard."""
