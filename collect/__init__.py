"""Pulls the raw records of a run back and turns them into numbers, figures and a report."""
