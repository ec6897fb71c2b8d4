"""From the bytes of a dropped file to checked columns, staged by partition, and a file of what was rejected."""
