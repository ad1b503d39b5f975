"""Where a word is looked at while a picture is sampled, and where the control map lets the target respond."""
