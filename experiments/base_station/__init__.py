"""What runs on the base station, shipped there: the driver, its requests, and the program around it."""
