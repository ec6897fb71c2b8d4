"""Statistics of a part of the customers that merge with those of the others, the same however they are parted."""
