"""What training minimizes: short pure functions of tensors, each with its equation."""
