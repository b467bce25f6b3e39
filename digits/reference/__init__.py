"""The systems of five tutorials that this project grew out of, done again as they were written."""
