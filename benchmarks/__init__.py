"""What the function's speed is, as a ratio measured in one run on one machine."""
