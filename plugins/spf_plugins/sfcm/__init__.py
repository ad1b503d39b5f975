"""Plugin group sfcm."""
