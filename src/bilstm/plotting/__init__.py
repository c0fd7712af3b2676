"""Charts: described once, drawn by matplotlib or plotly."""
