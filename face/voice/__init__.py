"""What a voice does to a face."""
