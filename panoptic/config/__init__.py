"""Configuration: its schema, how it is composed, and changes to it. Imports no torch."""
