"""Scenario files and what runs them: the spec, the plan, the driver and the ordered steps of a run."""
