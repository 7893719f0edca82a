"""What can be wrong with one tag: a file for each rule."""
