"""What people look at beside the report: runs side by side, and a run while it trains."""
