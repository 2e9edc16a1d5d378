"""What a face and a voice feel, from networks' answers."""
