"""How far the customers of today have moved from those that a model was fitted on."""
