"""The commands of the lab. They import what is heavy inside functions, so that help stays fast."""
