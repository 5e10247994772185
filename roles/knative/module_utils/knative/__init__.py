"""Knative in a cluster, reached through kubectl."""
