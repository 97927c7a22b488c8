"""Time and memory of metricgrad beside its peers and beside bounds; `metricgrad bench` shows them."""
