"""What faces express: statistics of real people, and the shape that an edit asks for."""
