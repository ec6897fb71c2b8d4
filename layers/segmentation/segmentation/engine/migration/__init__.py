"""Who moved from which segment to which: counts that partitions add up, and what follows from them."""
