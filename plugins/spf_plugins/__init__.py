"""Plugins that ship with spf."""
