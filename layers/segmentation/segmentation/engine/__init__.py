"""The numeric core: arrays in, arrays out. It knows no store, no clock and no environment."""
