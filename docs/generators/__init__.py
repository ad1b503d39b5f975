"""What the documentation shows of the code itself: written before the site is built, and never by hand."""
