"""What is known of faces: how they are drawn and what they express."""
