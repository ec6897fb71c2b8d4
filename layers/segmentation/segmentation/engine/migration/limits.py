"""How much one migration may ask for. Light: whoever checks a request needs no arrays."""

MOST_SEGMENTS = 20
MOST_PERIODS = 36
MOST_FORECAST = 12
