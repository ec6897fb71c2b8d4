"""What a segment looks like: statistics that merge across partitions, and the report that is read from them."""
