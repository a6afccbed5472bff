"""Quota: limits, their counters, and the usage ledger."""
