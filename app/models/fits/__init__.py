"""How each model fits every point of its grid on one matrix: what its parameters do not change is done once."""
