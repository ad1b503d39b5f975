"""What a run needs: estimates of memory and time, ways to need less, and the error when memory runs out."""
