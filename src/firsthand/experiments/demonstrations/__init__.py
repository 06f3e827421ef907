"""Demonstrations of fine-tuning: one command each, models beside honest rivals, everything as plain files."""
