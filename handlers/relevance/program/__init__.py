"""What comes in, what goes out, who calls: to be written."""
