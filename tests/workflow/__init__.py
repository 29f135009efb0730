"""Tests of rules, plans, whole runs and DVC."""
