"""The operators, a module for each kind: a positive condition and a column become a check over the frame's rows."""
