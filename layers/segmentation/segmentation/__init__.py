"""Customer segmentation: rules, models and memberships for one company's customers."""
