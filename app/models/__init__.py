"""The models: what each is searched over, its scikit-learn estimator, and how the points of its grid share work."""
