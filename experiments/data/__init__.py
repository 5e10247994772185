"""The texts and labels of an experiment: where they come from, and those that are made here."""
