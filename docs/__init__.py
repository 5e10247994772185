"""What is generated for the documentation, and what is checked of its words."""
