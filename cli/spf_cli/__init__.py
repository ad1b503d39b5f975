"""The spf command line."""
