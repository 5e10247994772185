"""The numbers of a run for people: the table on the terminal, the figures, and ``report.html``."""
