"""Expensive explanations as durable jobs."""
