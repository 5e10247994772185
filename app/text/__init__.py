"""From texts and labels to matrices: counted once, split into folds, weighted for each fold."""
